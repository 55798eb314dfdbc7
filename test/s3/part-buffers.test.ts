import { describe, expect, test } from "bun:test";
import { PartBuffers } from "../../src/storage/s3/upload/part-buffers.ts";
import { partBytesFor } from "../../src/storage/s3/upload/part-size.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, open, PART, REF, storeOn, writeAll } from "../support/faulty-store.ts";
import { digest, pattern } from "../support/pattern.ts";
import { rejectionOf } from "../support/rejection.ts";

describe("the memory of all parts", () => {
  test("is given in line, as it comes back", async () => {
    const buffers = new PartBuffers(20);
    const first = await buffers.take(10, never);
    const second = await buffers.take(10, never);
    const order: number[] = [];
    const third = buffers.take(15, never).then((buffer) => (order.push(3), buffer));
    const fourth = buffers.take(1, never).then((buffer) => (order.push(4), buffer));
    expect(buffers.takeNow(1)).toBeUndefined();
    buffers.giveBack(first);
    await Promise.resolve();
    expect(order).toEqual([]);
    buffers.giveBack(second);
    for (const buffer of [await third, await fourth]) buffers.giveBack(buffer);
    expect([order, buffers.taken]).toEqual([[3, 4], 0]);
  });

  test("is given to one that wants more than there is once no other is out", async () => {
    const buffers = new PartBuffers(5);
    const small = await buffers.take(1, never);
    const large = buffers.take(100, never);
    buffers.giveBack(small);
    buffers.giveBack(await large);
    expect(buffers.taken).toBe(0);
  });

  test("is not waited for after an abort, and who waits behind is served", async () => {
    const buffers = new PartBuffers(10);
    const held = await buffers.take(5, never);
    const impatient = new AbortController();
    const leaving = rejectionOf(buffers.take(10, impatient.signal));
    const behind = buffers.take(5, never);
    const reason = new Error("stop");
    impatient.abort(reason);
    expect(await leaving).toBe(reason);
    for (const buffer of [held, await behind]) buffers.giveBack(buffer);
    expect(buffers.taken).toBe(0);
  });
});

describe("uploads that share memory for one part", () => {
  test("all come to their end, one after the other or side by side", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    const store = storeOn(s3.endpoint, { bufferBytes: PART });
    const bodies = [1, 2, 3, 4].map((seed) => pattern(2 * PART + seed, seed));
    await Promise.all(
      bodies.map(async (body, i) => {
        const ref = { ...REF, key: `k${i}` };
        const upload = await store.open(ref, { contentType: "", signal: never, onOpen: () => Promise.resolve() });
        await writeAll(upload, body);
        await upload.commit();
      }),
    );
    expect(bodies.map((_, i) => digest(s3.objects.get(`k${i}`)?.body))).toEqual(bodies.map((body) => digest(body)));
  });

  test("give it back when they are aborted, or fail", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, { bufferBytes: PART, checksum: "md5" });
    const aborted = await open(store);
    await aborted.write(pattern(MIB));
    await aborted.abort();
    s3.faultFor = (call) => (call.query.has("partNumber") ? { kind: "answer", status: 400 } : undefined);
    const failing = await open(store);
    await rejectionOf(writeAll(failing, pattern(3 * PART)).then(() => failing.commit()));
    await failing.abort();
    s3.faultFor = () => undefined;
    const last = await open(store);
    await writeAll(last, pattern(2 * PART));
    expect((await last.commit()).bytes).toBe(2 * PART);
  });
});

test("all parts of an upload but the last one have the same size, which fits the largest object", async () => {
  const parts = { bytes: PART, objectBytesMax: 10 * 1024 * MIB };
  expect(partBytesFor(parts, 2 * PART)).toBe(PART);
  expect(partBytesFor(parts, undefined)).toBe(PART);
  expect(partBytesFor(parts, 1024 ** 4)).toBe(105 * MIB);
  expect(partBytesFor({ ...parts, objectBytesMax: 1024 ** 4 }, undefined)).toBe(64 * MIB);

  await using s3 = await startFaultyS3();
  const sizes: number[] = [];
  s3.corruption = (body) => (sizes.push(body.byteLength), body);
  const upload = await open(storeOn(s3.endpoint, { checksum: "md5", partBytes: 5 * MIB }));
  await writeAll(upload, pattern(16 * MIB));
  await upload.commit();
  expect(sizes).toEqual([5 * MIB, 5 * MIB, 5 * MIB, MIB]);
});
