import { expect, test } from "bun:test";
import { timedStore } from "../../src/telemetry/timed-store.ts";
import { FakeClock } from "../support/clock.ts";
import { makeLocalHarness } from "../support/local-objects.ts";

test("tells the time of what was stored, from a stream's start to its end, and of nothing else", async () => {
  await using harness = await makeLocalHarness();
  const clock = new FakeClock();
  const seconds: number[] = [];
  const store = timedStore(harness.store, clock, (time) => seconds.push(time));
  const { signal } = new AbortController();
  const ref = { bucket: harness.bucket, key: "a" };
  const options = { contentType: "text/plain", signal, onOpen: () => Promise.resolve() };
  await store.put(ref, Buffer.from("small"), options);
  const upload = await store.open(ref, options);
  await upload.write(Buffer.from("large"));
  await clock.advance(1500);
  expect(await upload.commit()).toMatchObject({ bytes: 5 });
  await (await store.open(ref, options)).abort();
  expect(seconds).toEqual([0, 1.5]);
  expect(String(await harness.readBack("a"))).toBe("large");
});
