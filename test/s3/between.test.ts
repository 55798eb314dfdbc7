import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createS3Store, type S3StoreOptions } from "../../src/storage/s3/s3-store.ts";
import type { ObjectStoreHarness } from "../contract/object-store.ts";
import { pattern } from "../support/pattern.ts";
import { findPeers } from "../support/peers.ts";
import { failureOf } from "../support/rejection.ts";
import { abilitiesOf } from "../support/s3-abilities.ts";
import { makeS3Harness } from "../support/s3-harness.ts";
import { makeBucket, type S3Server, s3OptionsOf, s3ServerFor } from "../support/s3-server.ts";

const server = s3ServerFor("what stands between FetchBox and a real S3 server");
const peers = findPeers();
if ("reason" in peers) console.warn(`nginx before an S3 server is left out: ${peers.reason}`);

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const PIECE_BYTES_MIN = 8192;

/** A proxy that changes one bit of each larger piece that goes to the server: of bodies, since heads are small. */
async function startFlipper(endpoint: string) {
  const target = new URL(endpoint);
  const sockets = new Set<Socket>();
  const flipper = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => [client, upstream].forEach((each) => void each.destroy()));
    }
    client.on("data", (chunk: Buffer) => {
      const last = chunk.length - 1;
      if (last >= PIECE_BYTES_MIN) chunk.writeUInt8(chunk.readUInt8(last) ^ 1, last);
      upstream.write(chunk);
    });
    upstream.on("data", (chunk: Buffer) => void client.write(chunk));
  });
  await new Promise<void>((resolve) => flipper.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(flipper.address() as AddressInfo).port}`,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      flipper.close();
    },
  };
}

async function upload(options: S3StoreOptions, ref: { bucket: string; key: string }, body: Uint8Array) {
  const sha256 = () => Bun.CryptoHasher.hash("sha256", body, "hex");
  const meta = { contentType: "x/y", signal: never, onOpen: () => Promise.resolve(), sha256, size: body.byteLength };
  const upload = await createS3Store(options).open(ref, meta);
  try {
    for (let at = 0; at < body.byteLength; at += MIB) await upload.write(body.subarray(at, at + MIB));
    return await upload.commit();
  } finally {
    await upload.abort();
  }
}

describe.skipIf(server === undefined)("between FetchBox and a real S3 server", () => {
  const real = server as S3Server;
  let harness: ObjectStoreHarness;
  beforeAll(async () => {
    harness = await makeS3Harness(real);
  });
  afterAll(() => harness[Symbol.asyncDispose]());
  const refOf = (name: string) => ({ bucket: real.bucket, key: harness.prefix + name });

  test.each([
    ["small", 200 * 1024],
    ["over 1 MiB", 2 * MIB],
    ["in parts", 9 * MIB],
  ])("bits that change on the way make it UPLOAD_CORRUPT, and nothing is stored: %s", async (name, bytes) => {
    using flipper = await startFlipper(real.endpoint);
    const options = { ...s3OptionsOf(real), endpoint: flipper.endpoint };
    expect((await failureOf(upload(options, refOf(name), pattern(bytes)))).code).toBe("UPLOAD_CORRUPT");
    expect(await harness.store.head(refOf(name), never)).toBeUndefined();
    expect(await harness.leftovers()).toEqual([]);
  });

  test.skipIf("reason" in peers)(
    "nginx that takes 1 MiB refuses larger objects alone, which fit in parts",
    async () => {
      if ("reason" in peers) return;
      await using nginx = await peers.nginx({
        files: {},
        http: "client_max_body_size 1m;",
        locations: `location / { proxy_pass ${real.endpoint}; proxy_set_header Host $http_host; proxy_http_version 1.1; }`,
      });
      const options = { ...s3OptionsOf(real), endpoint: `http://127.0.0.1:${nginx.port}` };
      const failure = await failureOf(upload(options, refOf("too large"), pattern(2 * MIB)));
      expect([failure.code, failure.httpStatus]).toEqual(["UPLOAD_REJECTED", 413]);
      expect((await upload(options, refOf("small enough"), pattern(MIB))).provenBy).toBe("checksum");
    },
  );

  test("a policy that denies a prefix is a refusal that may be the object's alone", async () => {
    if (!(await abilitiesOf(real).hasPolicies())) return;
    await using bucket = await makeBucket(real);
    const Statement = [
      {
        Effect: "Deny",
        Principal: "*",
        Action: "s3:PutObject",
        Resource: `arn:aws:s3:::${bucket.name}/locked/*`,
      },
    ];
    await bucket.ask("PUT", { policy: "" }, Buffer.from(JSON.stringify({ Version: "2012-10-17", Statement })));
    const store = createS3Store(s3OptionsOf(real));
    const put = (key: string) =>
      store.put({ bucket: bucket.name, key }, pattern(10), { contentType: "x/y", signal: never });
    const failure = await failureOf(put("locked/a"));
    expect([failure.code, failure.mayConcernObject]).toEqual(["UPLOAD_ACCESS_DENIED", true]);
    expect((await put("open/a")).provenBy).toBe("checksum");
    await store.remove({ bucket: bucket.name, key: "open/a" }, never);
  });
});
