import { expect, test } from "bun:test";
import type { HttpClient } from "../../src/http/http-client.ts";
import { eventually } from "../support/eventually.ts";
import { testClient } from "../support/http.ts";
import { fetchText, openSockets, requestTo, rigClock, watchLeaks } from "./http-rig.ts";
import { startOrigin } from "./scripted-origin.ts";

const expectNothingOpen = watchLeaks();
const CONNECTIONS = 20;
/** The garbage collector takes old values on the stack for references. */
const MISTAKEN_MAX = 2;

/** Sends a request, and lets go of everything that belongs to it. */
async function send(client: HttpClient, port: number): Promise<WeakRef<AbortSignal>> {
  const { signal } = new AbortController();
  expect(await fetchText(client, requestTo(port, { signal }))).toBe("200 ok");
  return new WeakRef(signal);
}

test("a kept connection does not hold the request that opened it", async () => {
  await using origin = await startOrigin();
  const client = testClient(rigClock());
  const before = openSockets();
  const signals = await Promise.all(Array.from({ length: CONNECTIONS }, () => send(client, origin.port)));
  expect(openSockets() - before).toBe(2 * CONNECTIONS);
  await eventually("free requests", () => {
    Bun.gc(true);
    return signals.filter((signal) => signal.deref() !== undefined).length <= MISTAKEN_MAX || undefined;
  });
  client.close();
});

expectNothingOpen();
