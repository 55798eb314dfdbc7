/** Calls methods of the TypeScript client as lines on standard input name them: MODULE OPTIONS. */
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

const [, , modulePath, optionsText] = process.argv;
const { FetchBoxClient, FetchBoxError } = await import(pathToFileURL(modulePath).href);
const { timeoutMs, ...options } = JSON.parse(optionsText);
const client = new FetchBoxClient({ ...options, requestTimeoutMs: timeoutMs });

const CALLS = {
  submit: (manifest, { key: idempotencyKey, jobType, tenant } = {}) =>
    client.submit(manifest, { idempotencyKey, jobType, tenant }),
  submitUrls: (urls, options) => client.submitUrls(urls, options),
  job: (id) => client.job(id),
  jobs: (filter) => rows(client.jobs(filter)),
  resources: (id, filter) => rows(client.resources(id, filter)),
  deadLetters: (filter) => rows(client.deadLetters(filter)),
  firstDeadLetters: (count, filter) => rows(client.deadLetters(filter), count),
  follow: (id, filter) => rows(client.follow(id, filter)),
  wait: (id, timeoutMs) => client.wait(id, { timeoutMs }),
  cancel: (id) => client.cancel(id),
  replay: (request) => client.replay(request),
  discard: (request) => client.discard(request),
  health: () => client.health(),
  construct: (options) => Boolean(new FetchBoxClient(options)),
};

async function rows(iterator, count = Number.POSITIVE_INFINITY) {
  const found = [];
  for await (const row of iterator) if (found.push(row) === count) break;
  return found;
}

function shown(error) {
  const { code, message, status, requestId, details, retryAfterMs } = error;
  const text = `${error.stack} ${JSON.stringify(error)} ${inspect(error, { depth: Number.POSITIVE_INFINITY })}`;
  const isOurs = error instanceof FetchBoxError;
  return { isOurs, code, message, status, requestId: requestId ?? null, details, retryAfterMs, text };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  const answer = await Promise.resolve()
    .then(() => CALLS[call](...args))
    .then(
      (value) => ({ value }),
      (error) => ({ error: shown(error) }),
    );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
