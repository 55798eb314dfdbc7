import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "../support/eventually.ts";
import { startService } from "../support/service.ts";

const WORKERS = 4;
/** Far fewer than the tasks that the service claims ahead. */
const ENDS_MAX = 16;

/** Answers to `/long`, which the test ends one by one; `/short` is answered at once. */
const held: ServerResponse[] = [];
let short = 0;
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url?.startsWith("/long") === true) return void held.push(response);
    short++;
    response.end("short");
  });
  await once(server.listen(0, "0.0.0.0"), "listening");
});
afterEach(() => {
  for (const response of held.splice(0)) response.destroy();
});
afterAll(() => server.close());

/** A job with a host for each resource. */
function broad(count: number, path: string, net: number, attributes = {}) {
  const { port } = server.address() as AddressInfo;
  const resources = Array.from({ length: count }, (_, at) => {
    return { id: `r${at}`, url: `http://127.0.${net}.${at + 1}:${port}/${path}/${at}` };
  });
  return { manifest_version: "v1", resources, attributes };
}

test.each(["normal", "high"])(
  "a new job of %s priority is not behind the claimed tasks of a broad job",
  async (priority) => {
    await using service = await startService({ settings: { "queue.workers": WORKERS, "queue.channel_size": 1 } });
    await service.submit(broad(250, "long", 3));
    await eventually("all workers are busy", () => held.length === WORKERS || undefined);
    const before = short;
    const small = await service.submit(broad(3, "short", 4, { priority }));
    // A job is in progress from its first claim on.
    const status = async () => (await service.get<{ status: string }>(`/operators/jobs/${small}`)).status;
    await eventually("its tasks are claimed", async () => (await status()) === "in_progress" || undefined);
    let ends = 0;
    for (; short < before + 3 && ends < 2 * ENDS_MAX; ends++) {
      held.shift()?.end("long");
      await eventually("all workers are busy again", () => held.length === WORKERS || undefined);
    }
    expect(ends).toBeLessThanOrEqual(ENDS_MAX);
    expect((await service.finished(small)).status).toBe("completed");
  },
  30_000,
);
