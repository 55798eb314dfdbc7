import { describe, expect, test } from "bun:test";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, put, REF, storeOn } from "../support/faulty-store.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

describe("a read", () => {
  test("of a body that is cut off fails, and is not taken for the whole", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await put(store, MIB);
    s3.faultFor = () => ({ kind: "cut" });
    const stream = await store.read(REF, never);
    expect((await failureOf(new Response(stream).bytes())).code).toBe("UPLOAD_UNAVAILABLE");
  });

  test("ends with the reason of its signal", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await put(store, 20 * MIB);
    const controller = new AbortController();
    const reader = (await store.read(REF, controller.signal))?.getReader();
    await reader?.read();
    const reason = new Error("cancelled");
    controller.abort(reason);
    const rest = (async () => {
      while ((await reader?.read())?.done === false);
    })();
    expect(await rejectionOf(rest)).toBe(reason);
  });
});

test("a read of a body that does not go on is UPLOAD_TIMEOUT", async () => {
  await using s3 = await startFaultyS3();
  await put(storeOn(s3.endpoint), MIB);
  s3.faultFor = () => ({ kind: "pause" });
  const stream = await storeOn(s3.endpoint, { timeoutMs: 40 }).read(REF, never);
  expect((await failureOf(new Response(stream).bytes())).code).toBe("UPLOAD_TIMEOUT");
});

test("a redirect is not followed, since it would carry the signature elsewhere", async () => {
  await using s3 = await startFaultyS3();
  await using elsewhere = await startFaultyS3();
  s3.faultFor = () => ({ kind: "answer", status: 307, headers: { location: `${elsewhere.endpoint}/artifacts/a/b` } });
  expect((await failureOf(storeOn(s3.endpoint).remove(REF, never))).code).toBe("UPLOAD_UNAVAILABLE");
  expect(elsewhere.calls).toEqual([]);
});

test("virtual addressing puts the bucket into the host, path addressing into the path", async () => {
  await using s3 = await startFaultyS3();
  const endpoint = s3.endpoint.replace("127.0.0.1", "localhost");
  const host = new URL(endpoint).host;
  const resolve = () => Promise.resolve(["127.0.0.1"]);
  await put(storeOn(endpoint, { resolve }));
  expect([s3.calls.at(-1)?.headers.get("host"), s3.calls.at(-1)?.path]).toEqual([host, "/artifacts/a/b"]);
  await put(storeOn(endpoint, { resolve, addressing: "virtual" }));
  expect([s3.calls.at(-1)?.headers.get("host"), s3.calls.at(-1)?.path]).toEqual([`artifacts.${host}`, "/a/b"]);
});

test("objects are named by s3 URLs", () => {
  const store = storeOn("http://127.0.0.1:1");
  const ref = { bucket: "b", key: "x/y z" };
  expect(store.urlOf(ref)).toBe("s3://b/x/y z");
  expect(store.refOf("s3://b/x/y z")).toEqual(ref);
  expect(store.refOf("file:///b/x")).toBeUndefined();
});
