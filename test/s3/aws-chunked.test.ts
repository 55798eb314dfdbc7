import { expect, test } from "bun:test";
import { trailerBody } from "../../src/storage/s3/client/aws-chunked.ts";
import { MIB } from "../support/faulty-store.ts";
import { pattern } from "../support/pattern.ts";

const SHA256 = "00".repeat(32);

/** Gives a body in pieces of so many bytes. */
function inPieces(body: Uint8Array, bytes: number) {
  let at = 0;
  return {
    next: () => Promise.resolve(at >= body.byteLength ? undefined : body.subarray(at, (at += bytes))),
  };
}

async function sent(body: Uint8Array, pieceBytes: number, declared = body.byteLength) {
  const { body: encoded } = trailerBody(declared, inPieces(body, pieceBytes), () => SHA256);
  const pieces: Uint8Array[] = [];
  for (let piece = await encoded.source.next(); piece !== undefined; piece = await encoded.source.next()) {
    pieces.push(Buffer.from(piece));
  }
  return { bytes: encoded.bytes, sent: Buffer.concat(pieces) };
}

test.each([
  [1, 1],
  [MIB - 1, 64 * 1024],
  [MIB, MIB],
  [MIB + 1, 300_000],
  [3 * MIB, 2 * MIB + 7],
])("a body of %i bytes in pieces of %i is as long as its head says, in chunks of 1 MiB", async (bytes, pieceBytes) => {
  const body = pattern(bytes);
  const encoded = await sent(body, pieceBytes);
  expect(encoded.sent.byteLength).toBe(encoded.bytes);
  const trailer = `0\r\nx-amz-checksum-sha256:${Buffer.alloc(32).toString("base64")}\r\n\r\n`;
  const expected: Uint8Array[] = [];
  for (let at = 0; at < bytes; at += MIB) {
    const chunk = body.subarray(at, at + MIB);
    expected.push(Buffer.from(`${chunk.byteLength.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  expect(encoded.sent.equals(Buffer.concat([...expected, Buffer.from(trailer)]))).toBe(true);
});

test("a source that ends early gives a body that is too short: it has no trailer", async () => {
  const encoded = await sent(pattern(100), 10, 101);
  expect(encoded.sent.byteLength).toBeLessThan(encoded.bytes);
  expect(encoded.sent.includes("x-amz-checksum")).toBe(false);
});

test("the object's own coding goes along behind that of the transfer", () => {
  const { headers } = trailerBody(1, inPieces(pattern(1), 1), () => SHA256, { "content-encoding": "gzip", a: "b" });
  expect(headers).toEqual({
    a: "b",
    "content-encoding": "aws-chunked,gzip",
    "x-amz-decoded-content-length": "1",
    "x-amz-trailer": "x-amz-checksum-sha256",
  });
});
