import { expect, setDefaultTimeout, test } from "bun:test";
import type { JobSnapshot } from "../support/answers.ts";
import { errorOf } from "../support/answers.ts";
import { expectIdle } from "../support/books.ts";
import { corpusBytes, corpusFiles, corpusLines } from "../support/corpus.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

const SUITE = "JSONTestSuite/test_parsing";
const AT_ONCE = 16;
const JSON_SPACE = /^[ \t\r\n]+|[ \t\r\n]+$/g;

/** Does work on each item, so many at once. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of left) await work(item);
    }),
  );
}

/** Submits what is either taken, or refused as the client's own mistake with a reason: the job's id, or nothing. */
async function submitOrRefuse(
  service: Service,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<string | undefined> {
  const response = await service.post(body, headers);
  if (response.status === 202) return ((await response.json()) as { job_id: string }).job_id;
  const { code, details } = await errorOf(response);
  expect([response.status, code]).toEqual([400, "INVALID_PAYLOAD"]);
  expect(details.length).toBeGreaterThan(0);
  return undefined;
}

/** There are as many jobs, and as many manifests, as were taken; each is done; none is half there. */
async function expectExactly(service: Service, taken: readonly string[]): Promise<void> {
  await forEach(taken, async (jobId) => {
    expect((await service.finished(jobId, 40_000)).status).toBe("completed");
  });
  const jobs = await service.pages<JobSnapshot>("/operators/jobs?limit=1000", "jobs");
  expect(jobs.map(({ job_id }) => job_id).sort()).toEqual(taken.toSorted());
  const manifests = await LOCAL.keys(service, ["manifests/"]);
  expect(manifests).toEqual(taken.map((jobId) => `manifests/default/${jobId}/metadata.json`).sort());
  expect(await LOCAL.leftovers(service, [])).toEqual([]);
  await expectIdle(service);
}

async function naughtyStrings(): Promise<readonly string[]> {
  const strings = JSON.parse((await corpusLines("naughty-strings/blns.json")).join("\n") || "[]") as string[];
  return [...new Set(strings)];
}

const concat = (...parts: (string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));

test("no file of JSONTestSuite as a body is anything but a client's mistake", async () => {
  await using service = await startService();
  await forEach(corpusFiles(SUITE), async (file) => {
    const taken = await submitOrRefuse(service, await corpusBytes(`${SUITE}/${file}`));
    expect([file, taken]).toEqual([file, undefined]);
  });
  await expectExactly(service, []);
});

test("each file of JSONTestSuite as metadata is stored as it is written, or refused", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 16 } });
  const resources = `,"resources":[{"id":"a","url":"${origin.serve("/a", "a")}"}]}`;
  const taken: string[] = [];
  await forEach(corpusFiles(SUITE), async (file) => {
    const bytes = await corpusBytes(`${SUITE}/${file}`);
    // In an array all of them have a chance, by themselves only the objects.
    for (const [before, after] of [
      ["", ""],
      ['{"x":[', "]}"],
    ] as const) {
      const metadata = concat(before, bytes, after);
      const jobId = await submitOrRefuse(service, concat('{"manifest_version":"v1","metadata":', metadata, resources));
      if (jobId === undefined) continue;
      expect(() => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(metadata))).not.toThrow();
      taken.push(jobId);
      const job = await service.job(jobId);
      const stored = Buffer.from(await LOCAL.read(service, job.manifest_key)).toString();
      expect(stored).toContain(`"metadata":${Buffer.from(metadata).toString().replace(JSON_SPACE, "")},"`);
    }
  });
  // All valid ones but duplicate keys and the like, which a manifest does not take.
  if (corpusFiles(SUITE).length > 0) expect(taken.length).toBeGreaterThan(80);
  await expectExactly(service, taken);
});

/** The contract's rule for an id. */
function isId(text: string): boolean {
  const isShort = Array.from(text).length <= 128 && Buffer.byteLength(text) <= 255;
  const hasSegments = text.split("/").every((segment) => !["", ".", ".."].includes(segment));
  return isShort && hasSegments && !/[\p{Cc}\\]/u.test(text);
}

test("naughty strings as ids come through to the file's name, or are refused by the rule", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 16 } });
  const url = origin.serve("/a", "naughty");
  const strings = await naughtyStrings();
  const manifestOf = (ids: readonly string[]) =>
    JSON.stringify({ manifest_version: "v1", resources: ids.map((id) => ({ id, url })) });

  const good = new Set(strings.filter(isId));
  // No id may be a folder of another.
  const ids = [...good].filter(
    (id) => !id.split("/").some((_, at, parts) => at > 0 && good.has(parts.slice(0, at).join("/"))),
  );
  const jobId = await submitOrRefuse(service, ids.length === 0 ? manifestOf(["a"]) : manifestOf(ids));
  if (jobId === undefined) throw new Error("ids that are good by the contract were refused");
  const others = strings.filter((text) => !isId(text));
  for (let from = 0; from < others.length; from += 20) {
    const chunk = others.slice(from, from + 20);
    const response = await service.post(manifestOf(chunk));
    expect(response.status).toBe(400);
    const { details } = await errorOf(response);
    expect(details.map(({ path }) => path)).toEqual(chunk.map((_, index) => `/resources/${index}/id`));
  }
  await expectExactly(service, [jobId]);
  if (ids.length === 0) return;
  expect(ids.length).toBeGreaterThan(250);
  const rows = await service.resources(jobId);
  expect(rows.map(({ resource_id }) => resource_id)).toEqual(ids);
  const prefix = `resources/default/${jobId}/`;
  expect(await LOCAL.keys(service, [prefix])).toEqual(ids.map((id) => prefix + id).sort());
  for (const { storage_key } of rows) {
    expect(Buffer.from(await LOCAL.read(service, storage_key ?? "")).toString()).toBe("naughty");
  }
  const logged = (await service.logs(jobId)).map(({ resource_id }) => resource_id);
  expect(logged).toEqual(expect.arrayContaining(ids));
});

test("naughty strings as metadata, tags and header values arrive as they were sent, or are refused", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 16 } });
  const strings = await naughtyStrings();
  const taken: string[] = [];
  let sent = 0;
  await forEach([...strings.entries()], async ([index, text]) => {
    const resource = { id: "a", url: origin.serve(`/${index}`, "a") };
    const submit = async (more: object, ofResource: object = {}) => {
      const manifest = { manifest_version: "v1", ...more, resources: [{ ...resource, ...ofResource }] };
      const jobId = await submitOrRefuse(service, JSON.stringify(manifest));
      if (jobId === undefined) return undefined;
      taken.push(jobId);
      const stored = await LOCAL.read(service, (await service.job(jobId)).manifest_key);
      expect(JSON.parse(Buffer.from(stored).toString())).toMatchObject(manifest);
      return jobId;
    };
    expect(await submit({ metadata: { [`k${text}`]: text } }, { tags: { tag: text } })).toBeDefined();
    const jobId = await submit({}, { headers: { "X-Naughty": text } });
    if (jobId === undefined) return;
    await service.finished(jobId);
    const headers = origin.headers(`/${index}`);
    const received = headers[headers.findIndex((name) => name.toLowerCase() === "x-naughty") + 1];
    // Space around a value is not part of it (RFC 9110, 5.5).
    expect(received).toBe(text.replace(/^[ \t]+|[ \t]+$/g, ""));
    sent += 1;
  });
  if (strings.length > 0) expect(sent).toBeGreaterThan(200);
  await expectExactly(service, taken);
});

test("naughty strings as tenant, job type and idempotency key are names by their rule, or refused", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "a") }] });
  const taken: string[] = [];
  // A header goes out as bytes, one for each character.
  const strings = (await naughtyStrings())
    .map((text) => Buffer.from(text).toString("latin1"))
    .filter((text) => !/[\0\r\n]/.test(text));
  const isName = (text: string) => /^[a-z0-9._-]{1,64}$/.test(text) && text !== "." && text !== "..";
  await forEach(strings, async (text) => {
    if (/[\x01-\x08\x0b-\x1f\x7f]/.test(text)) {
      // No header at all (RFC 9110, 5.5): it does not get past the parser.
      expect((await service.post(manifest, { "x-fetchbox-tenant": text })).status).toBe(400);
      return;
    }
    const value = text.replace(/^[ \t]+|[ \t]+$/g, "");
    const jobId = await submitOrRefuse(service, manifest, { "x-fetchbox-tenant": text });
    expect([text, jobId !== undefined]).toEqual([text, isName(value)]);
    if (jobId !== undefined) {
      taken.push(jobId);
      expect((await service.job(jobId)).tenant).toBe(value);
    }
    const ofType = await service.post(manifest, { "x-fetchbox-job-type": text });
    expect([text, ofType.status]).toEqual([text, isName(value) ? 403 : 400]);
    await errorOf(ofType);
    const key = await submitOrRefuse(service, manifest, { "x-fetchbox-idempotency-key": text });
    expect([text, key !== undefined]).toEqual([text, /^[!-~]{1,255}$/.test(value)]);
    if (key !== undefined) taken.push(key);
  });
  await expectExactly(service, [...new Set(taken)]);
});
