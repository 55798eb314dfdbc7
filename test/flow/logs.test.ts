import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { LogRow } from "../support/answers.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const EVENTS = "text/event-stream";
const LINES = "application/x-ndjson";

interface StreamEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string | undefined;
}

function follow(service: Service, job: string, accept: string, headers = {}, query = ""): Promise<Response> {
  return service.fetch(`/operators/jobs/${job}/logs${query}`, { headers: { accept, ...headers } });
}

/** The events of a whole stream; comments are left out. */
function eventsOf(text: string): StreamEvent[] {
  const field = (block: string, name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
  return text
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => ({ id: field(block, "id"), event: field(block, "event"), data: field(block, "data") }));
}

const rowsOf = (events: readonly StreamEvent[]) =>
  events.flatMap(({ event, data }) => (event === undefined ? [JSON.parse(data ?? "") as LogRow] : []));

/** A job with one resource that waits, so that the log goes on while it is followed. */
async function jobInTheMiddle(service: Service, origin: Awaited<ReturnType<typeof startOrigin>>, resources = 20) {
  const held = origin.hold("/held", new Uint8Array(10));
  const urls = Array.from({ length: resources }, (_, i) =>
    i % 4 === 3 ? `${origin.url}/gone` : origin.serve(`/${i}`, "x"),
  );
  const job = await service.submit({
    manifest_version: "v1",
    resources: [...urls, held.url].map((url, i) => ({ id: `r${i}`, url })),
  });
  await held.reached;
  return { job, held };
}

test("a job's log is followed to its end, as events and as lines, and is the same as page by page", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const { job, held } = await jobInTheMiddle(service, origin);
  const streams = await Promise.all([follow(service, job, EVENTS), follow(service, job, LINES)]);
  expect(
    streams.map(({ status, headers }) => [status, headers.get("content-type"), headers.get("cache-control")]),
  ).toEqual([
    [200, EVENTS, "no-store"],
    [200, LINES, "no-store"],
  ]);
  const texts = Promise.all(streams.map((stream) => stream.text()));
  held.release();
  const { status } = await service.finished(job);
  const [events = "", lines = ""] = await texts;
  const pages = await service.logs(job);
  const parsed = eventsOf(events);
  expect(rowsOf(parsed)).toEqual(pages);
  expect(parsed.slice(0, -1).map(({ id }) => id)).toEqual(pages.map(({ offset }) => String(offset)));
  expect(parsed.at(-1)).toEqual({ id: undefined, event: "end", data: JSON.stringify({ status }) });
  expect(
    lines
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LogRow),
  ).toEqual(pages);
});

test("a follower goes on where it stopped, from an offset or at a level, also when the job has ended", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const { job, held } = await jobInTheMiddle(service, origin);
  held.release();
  await service.finished(job);
  const pages = await service.logs(job);
  const read = async (headers = {}, query = "") =>
    rowsOf(eventsOf(await (await follow(service, job, EVENTS, headers, query)).text()));
  expect(await read({ "last-event-id": "4" })).toEqual(pages.slice(5));
  expect(await read({}, "?offset=7")).toEqual(pages.slice(7));
  expect(await read({ "last-event-id": String(pages.length + 5) })).toEqual([]);
  expect(await read({}, "?level=warn")).toEqual(pages.filter(({ level }) => level === "warn" || level === "error"));
  const refused = await follow(service, job, EVENTS, { "last-event-id": "last" });
  expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([400, "INVALID_PAYLOAD"]);
  expect((await follow(service, "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00", EVENTS)).status).toBe(404);
  const head = await service.fetch(`/operators/jobs/${job}/logs`, { method: "HEAD", headers: { accept: EVENTS } });
  expect([head.status, await head.text()]).toEqual([200, ""]);
});

test("a hundred followers are all told everything, and those that go are forgotten", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const { job, held } = await jobInTheMiddle(service, origin, 300);
  const followers = await Promise.all(Array.from({ length: 100 }, () => follow(service, job, LINES)));
  for (const { body } of await Promise.all(Array.from({ length: 20 }, () => follow(service, job, EVENTS)))) {
    await body?.cancel();
  }
  held.release();
  const texts = await Promise.all(followers.map((follower) => follower.text()));
  const pages = await service.logs(job);
  for (const text of texts) expect(text.split("\n").length - 1).toBe(pages.length);
});

test("a service that is told to stop lets its followers go", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "server.shutdown_grace_ms": 100 } });
  const { job } = await jobInTheMiddle(service, origin);
  const stream = await follow(service, job, EVENTS);
  const text = stream.text();
  expect(await service.stop()).toBe(0);
  expect(eventsOf(await text).every(({ event }) => event === undefined)).toBe(true);
});

/**
 * A finished job whose log has `rows` rows: what a job of millions of resources leaves. The service is restarted for
 * it.
 */
async function jobWithLongLog(service: Service, url: string, rows: number): Promise<string> {
  const job = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
  const { log_count: count } = await service.finished(job);
  expect(await service.stop()).toBe(0);
  const db = new Database(join(service.folder, "data/ledger/ledger.db"));
  db.query<never, [number, number, string]>(
    `WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 - 1)
     INSERT INTO logs SELECT seq, i, 0, 'info', 'resource stored', 'r' || i, '{"attempts":1}' FROM jobs JOIN n WHERE job_id = ?3`,
  ).run(count, rows, job);
  db.query<never, [number, string]>("UPDATE jobs SET log_count = ? WHERE job_id = ?").run(rows, job);
  db.close();
  await service.start();
  return job;
}

test.each([
  ["as lines", LINES, "", 300_000, 300_000],
  ["as events", EVENTS, "", 300_000, 300_000],
  ["of a level that it has not", LINES, "?level=error", 1_000_000, 0],
  ["page by page, of a level that it has not", "application/json", "?level=error&limit=1000", 1_000_000, 0],
])(
  "a long log that is read as fast as can be, %s, lets other requests through",
  async (_, accept, query, length, expected) => {
    await using origin = await startOrigin();
    await using service = await startService();
    const job = await jobWithLongLog(service, origin.serve("/a", "x"), length);
    let isOver = false;
    const reading = follow(service, job, accept, {}, query)
      .then((response) => response.text())
      .finally(() => {
        isOver = true;
      });
    let answered = 0;
    while (!isOver) {
      await (await service.fetch("/health/live")).text();
      if (!isOver) answered++;
    }
    const text = await reading;
    const rows = accept === EVENTS ? eventsOf(text).length - 1 : text.split("\n").length - 1;
    expect(rows).toBe(expected);
    // Where the log is read in one piece, one request may come before it; the others are answered after it.
    expect(answered).toBeGreaterThan(3);
  },
);
