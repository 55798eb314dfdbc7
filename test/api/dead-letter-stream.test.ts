import { expect, test } from "bun:test";
import { deadLetterStreams } from "../../src/api/endpoints/streams/dead-letter-stream.ts";
import type { DeadLetterRecord } from "../../src/jobs/stores/dead-letter-reads.ts";
import { FakeClock } from "../support/clock.ts";
import { failedForGood, startTestApi, type TestApi } from "./running-api.ts";

const LINES = { headers: { accept: "application/x-ndjson" } };

async function fail(api: TestApi, tasks: number, status = 404): Promise<void> {
  await api.submit(tasks);
  for (const claimed of await api.claim(tasks)) await api.settle(claimed, failedForGood(claimed, api.now, status));
}

function idsOf(text: string): number[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { task_id: number }).task_id);
}

test("dead letters come as lines of JSON: all that match, each once, as the list shows them", async () => {
  await using api = await startTestApi();
  await fail(api, 450);
  await fail(api, 3, 410);
  const response = await api.fetch("/operators/dlq?limit=1", LINES);
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  const text = await response.text();
  expect(idsOf(text)).toEqual(Array.from({ length: 453 }, (_, at) => 453 - at));
  const { entries } = await api.get("DeadLetterList", "/operators/dlq?limit=1");
  expect(JSON.parse(text.split("\n")[0] ?? "")).toEqual(entries[0]);
  const filtered = await api.fetch("/operators/dlq?code=DOWNLOAD_HTTP_410", LINES);
  expect(idsOf(await filtered.text())).toEqual([453, 452, 451]);
  expect(await (await api.fetch("/operators/dlq?code=DOWNLOAD_TIMEOUT", LINES)).text()).toBe("");
  const head = await api.fetch("/operators/dlq", { method: "HEAD", ...LINES });
  expect([head.headers.get("content-type"), await head.text()]).toEqual(["application/x-ndjson", ""]);
  expect((await api.error("/operators/dlq?code=%20", 400, LINES)).code).toBe("INVALID_PAYLOAD");
});

interface Rig {
  readonly clock: FakeClock;
  readonly reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;
  /** The ids before which pages were read. */
  readonly reads: number[];
  readonly rows: DeadLetterRecord[];
  readonly stopping: AbortController;
  readonly dropped: number[];
  /** Takes the right to read from the caller. */
  readonly revoke: () => void;
}

/** A stream of a thousand dead letters, read by hand. */
function rig(): Rig {
  const clock = new FakeClock();
  const rows = Array.from({ length: 1000 }, (_, at) => ({ task: 1000 - at })) as DeadLetterRecord[];
  const reads: number[] = [];
  const dropped: number[] = [];
  const stopping = new AbortController();
  const list = (_filter: object, before: number, limit: number) => {
    reads.push(before);
    return Promise.resolve(rows.filter(({ task }) => task < before).slice(0, limit));
  };
  const dropDeadLetters = (_request: Request, seconds: number) => dropped.push(seconds);
  const deps = { clock, stopping: stopping.signal, dropDeadLetters };
  const stream = deadLetterStreams({ list }, ({ task }) => ({ task_id: task }), deps);
  let isRevoked = false;
  const requireRights = () => {
    if (isRevoked) throw new Error("the right has ended");
  };
  const { body } = stream({ filter: {}, before: 10_000, request: new Request("http://localhost/"), requireRights });
  if (body === null) throw new Error("the answer has no body");
  const revoke = () => void (isRevoked = true);
  return { clock, reader: body.getReader(), reads, rows, stopping, dropped, revoke };
}

test("a page of dead letters is read only when the client has taken the one before, and none after it has gone", async () => {
  const { clock, reader, reads } = rig();
  await clock.advance(0);
  expect(reads).toEqual([]);
  await reader.read();
  await clock.advance(0);
  expect(reads).toEqual([10_000]);
  await reader.read();
  expect(reads).toEqual([10_000, 801]);
  await reader.cancel();
  await clock.advance(120_000);
  expect([reads.length, clock.pending]).toEqual([2, 0]);
});

test("dead letters that change while they are read come once at most", async () => {
  const { reader, rows } = rig();
  const decoder = new TextDecoder();
  const ids: number[] = [];
  for (let page = 0; ; page++) {
    const { done, value } = await reader.read();
    if (done) break;
    ids.push(...idsOf(decoder.decode(value)));
    // Two are replayed, one of them fails again, and a new one comes.
    const gone = rows.splice(page, 2);
    rows.unshift(...gone.slice(0, 1), { task: 2000 + page } as DeadLetterRecord);
    rows.sort((a, b) => b.task - a.task);
  }
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(ids.toSorted((a, b) => b - a));
  expect(ids.length).toBeGreaterThan(980);
});

test("a stream of dead letters that the stop of the service cuts off does not look complete", async () => {
  const { reader, stopping } = rig();
  await reader.read();
  stopping.abort(new Error("the server is stopping"));
  expect(await reader.read().catch(String)).toBe("Error: the server is stopping");
});

test("a stream of dead letters is cut off before the next page once its reader has lost the right", async () => {
  const { reader, revoke } = rig();
  await reader.read();
  revoke();
  expect(await reader.read().catch(String)).toBe("Error: the right has ended");
});

test("a client that reads nothing for a minute is disconnected, without an end of the rows", async () => {
  const { clock, reader, dropped } = rig();
  await reader.read();
  await clock.advance(59_999);
  expect(dropped).toEqual([]);
  await clock.advance(1);
  expect(dropped).toEqual([10]);
  const rest = reader.read().then(() => "more");
  expect(await Promise.race([rest, clock.advance(1000).then(() => "silence")])).toBe("silence");
});
