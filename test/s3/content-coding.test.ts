import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, PART, REF, storeOn, writeAll } from "../support/faulty-store.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { pattern } from "../support/pattern.ts";

const coded = (bytes: number) => gzipSync(pattern(bytes), { level: 0 });
const isSigned = ({ headers }: S3Call) =>
  /SignedHeaders=([^,]*)/
    .exec(headers.get("authorization") ?? "")?.[1]
    ?.split(";")
    .includes("content-encoding");

describe("the coding of an object", () => {
  test.each<[string, Uint8Array, boolean]>([
    ["of a known length", coded(MIB), true],
    ["that fits into one part", coded(1000), false],
    ["in parts", coded(PART + 1), false],
  ])("%s goes with the request that makes it, signed", async (_, body, isKnown) => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, { checksum: isKnown ? "none" : "md5" });
    const upload = await store.open(REF, {
      contentType: "x/y",
      contentEncoding: "gzip",
      signal: never,
      onOpen: () => Promise.resolve(),
      ...(isKnown && { size: body.byteLength }),
    });
    await writeAll(upload, body);
    await upload.commit();
    const [first, ...others] = s3.calls;
    if (first === undefined) throw new Error("there was no request");
    expect([first.headers.get("content-encoding"), isSigned(first)]).toEqual(["gzip", true]);
    // Those of parts, and of the completion.
    expect(others.filter(({ headers }) => headers.has("content-encoding"))).toEqual([]);
    expect(s3.objects.get(REF.key)?.metadata["content-encoding"]).toBe("gzip");
  });

  test("is not undone where the object is read", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    for (const body of [coded(1000), pattern(1000)]) {
      await store.put(REF, body, { contentType: "x/y", contentEncoding: "gzip", signal: never });
      expect(s3.objects.get(REF.key)).toMatchObject({ body, metadata: { "content-encoding": "gzip" } });
      expect((await store.head(REF, never))?.bytes).toBe(body.byteLength);
      const stream = await store.read(REF, never);
      expect(Buffer.from(await new Response(stream).bytes()).equals(body)).toBe(true);
    }
  });

  test.each([undefined, "", "identity", "gz\u00efp", "a\r\nx-amz-acl: b", "x".repeat(101), "gzip, AWS-chunked"])(
    "%j is left out",
    async (contentEncoding) => {
      await using s3 = await startFaultyS3();
      await storeOn(s3.endpoint).put(REF, pattern(10), { contentType: "x/y", contentEncoding, signal: never });
      expect(s3.calls.map(({ headers }) => headers.get("content-encoding"))).toEqual([null]);
    },
  );
});
