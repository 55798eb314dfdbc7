import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { FetchBoxClient } from "../../clients/typescript/src/fetchbox.ts";
import { CLIENT_TYPES, clientTypesOf } from "../../scripts/client-types.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { rejectionOf } from "../support/rejection.ts";
import { type Service, startService } from "../support/service.ts";
import { builtClient } from "./built-client.ts";

setDefaultTimeout(60_000);

let service: Service;
let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin();
  service = await startService();
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

/** A job whose download waits until it is released. */
async function heldJob(client: FetchBoxClient, path: string) {
  const held = origin.hold(path, new Uint8Array(10));
  const { job_id } = await client.submit({ manifest_version: "v1", resources: [{ id: "a", url: held.url }] });
  await held.reached;
  return { job_id, release: () => held.release() };
}

test("the types are those of the OpenAPI document; if not: bun scripts/client-types.ts", async () => {
  const document = await (await service.fetch("/swagger/json")).text();
  expect(readFileSync(CLIENT_TYPES, "utf8") === (await clientTypesOf(document))).toBe(true);
});

test("npm packs the built client with its types, README and licence, and no more", async () => {
  const npm = Bun.which("npm");
  if (npm === null) return console.warn("the content of the npm package is not checked: there is no npm");
  const pack = Bun.spawn([npm, "pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: await builtClient(),
    stdout: "pipe",
    stderr: "ignore",
  });
  const [packed] = (await pack.stdout.json()) as { files: { path: string }[] }[];
  const paths = packed?.files.map(({ path }) => path) ?? [];
  expect(paths.filter((path) => !path.startsWith("dist/")).toSorted()).toEqual([
    "LICENSE",
    "README.md",
    "package.json",
  ]);
  expect(paths.filter((path) => path.startsWith("dist/") && !/\.(?:d\.ts|js)$/.test(path))).toEqual([]);
  expect(paths).toContain("dist/fetchbox.js");
  expect(paths).toContain("dist/fetchbox.d.ts");
});

test("an aborted signal ends a wait, a followed log, a list and a delayed repeat with its reason", async () => {
  const client = new FetchBoxClient({ server: service.url });
  const { job_id, release } = await heldJob(client, "/aborted");
  const stop = new AbortController();
  const { signal } = stop;
  const reason = new Error("the user left");
  let rows = 0;
  const follow = async () => {
    for await (const _row of client.follow(job_id, {}, { signal })) rows += 1;
  };
  origin.answer("/jobs", (_request, response) => response.writeHead(429, { "retry-after": "600" }).end());
  const busy = new FetchBoxClient({ server: origin.url });
  const ends = [
    client.wait(job_id, { signal, timeoutMs: 60_000 }),
    client.wait(job_id, { signal }),
    follow(),
    busy.submit({ manifest_version: "v1", resources: [] }, { signal }),
  ].map((work) =>
    work.then(
      () => "no error",
      (error: unknown) => error,
    ),
  );
  await eventually("a row and the busy answer", () => (rows > 0 && origin.hits("/jobs") > 0 ? true : undefined));
  stop.abort(reason);
  expect(await Promise.all(ends)).toEqual([reason, reason, reason, reason]);
  expect(await rejectionOf(client.jobs({}, { signal }).next())).toBe(reason);
  release();
  expect(await client.wait(job_id)).toMatchObject({ status: "completed" });
});

test("a followed log that the caller leaves closes its connection", async () => {
  const closed = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('id: 0\ndata: {"offset":0}\n\n');
    request.socket.on("close", () => closed.resolve());
  }).listen(0, "127.0.0.1");
  await eventually("the server listens", () => server.listening || undefined);
  const { port } = server.address() as { port: number };
  for await (const row of new FetchBoxClient({ server: `http://127.0.0.1:${port}` }).follow("j")) {
    expect(row.offset).toBe(0);
    break;
  }
  await closed.promise;
  server.close();
});

test("every endpoint is there, typed, for requests that no method covers", async () => {
  const client = new FetchBoxClient({ server: `${service.url}/`, token: "unused-SECRET-0123" });
  const { data, error } = await client.api.GET("/operators/queue");
  expect([data?.paused, error]).toEqual([false, undefined]);
  expect(Bun.inspect(client)).not.toContain("unused-SECRET-0123");
  expect(JSON.stringify(client)).not.toContain("unused-SECRET-0123");
});

test("an own fetch is used, and a list of URLs may come from an asynchronous source", async () => {
  const asked: string[] = [];
  const client = new FetchBoxClient({
    server: service.url,
    fetch: (request) => {
      asked.push(new URL(request.url).pathname);
      return fetch(request);
    },
  });
  async function* urls() {
    for (const at of [1, 2, 3]) yield origin.serve(`/async/${at}`, "x");
  }
  const seen: string[] = [];
  const jobs = await client.submitUrls(urls(), { batchSize: 2, onSubmitted: ({ job_id }) => seen.push(job_id) });
  expect(jobs.map(({ resource_count }) => resource_count)).toEqual([2, 1]);
  expect([asked, seen]).toEqual([["/jobs", "/jobs"], jobs.map(({ job_id }) => job_id)]);
  expect(await rejectionOf(client.submitUrls([], { batchSize: 0 }))).toMatchObject({ code: "INVALID_ARGUMENT" });
});
