import { expect, test } from "bun:test";
import { createPermits } from "../../src/storage/s3/client/permits.ts";

const never = new AbortController().signal;

test("a permit goes to who waits longest, not to who comes when it is given back", async () => {
  const permits = createPermits(1);
  const order: string[] = [];
  const release = await permits.acquire(never);
  const first = permits.acquire(never).then((next) => (order.push("first"), next));
  const second = permits.acquire(never).then((next) => (order.push("second"), next));
  release();
  const third = permits.acquire(never).then((next) => (order.push("third"), next));
  (await first)();
  (await second)();
  (await third)();
  expect(order).toEqual(["first", "second", "third"]);
});

test("who is aborted in the line leaves it, and no permit is lost", async () => {
  const permits = createPermits(2);
  const [one, two] = [await permits.acquire(never), await permits.acquire(never)];
  const controller = new AbortController();
  const leaving = permits.acquire(controller.signal).catch((error: unknown) => error);
  const staying = permits.acquire(never);
  controller.abort("gone");
  expect(await leaving).toBe("gone");
  one();
  two();
  const releases = [await staying, await permits.acquire(never)];
  let isThirdIn = false;
  const third = permits.acquire(never).then((release) => {
    isThirdIn = true;
    return release;
  });
  await new Promise(setImmediate);
  expect(isThirdIn).toBe(false);
  releases[0]?.();
  (await third)();
});
