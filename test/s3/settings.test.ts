import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { ObjectAttributes } from "../../src/jobs/object-attributes.ts";
import { encodeMetadata } from "../../src/jobs/object-attributes.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, open, PART, put, REF, SECRET, storeOn, writeAll } from "../support/faulty-store.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";
import { checkSignature } from "../support/signature.ts";

/** Writes in every way that there is: whole, streamed, kept and sent at the end, in parts. */
async function writeInEveryWay(store: ReturnType<typeof storeOn>, meta: object = {}): Promise<void> {
  const options = { contentType: "x/y", signal: never, onOpen: () => Promise.resolve(), ...meta };
  await store.put(REF, pattern(100), options);
  for (const { bytes, size } of [{ bytes: MIB, size: MIB }, { bytes: 100 }, { bytes: PART + 1 }]) {
    const upload = await store.open(REF, { ...options, ...(size !== undefined && { size }) });
    await writeAll(upload, pattern(bytes));
    await upload.commit();
  }
}

/** Requests that make an object; the others carry parts, complete, look or remove. */
function makesObject({ method, query }: S3Call): boolean {
  return (method === "PUT" && !query.has("uploadId")) || (method === "POST" && query.has("uploads"));
}

function expectSigned(s3: FaultyS3): void {
  for (const call of s3.calls) {
    const { given, right, signedHeaders } = checkSignature(call, SECRET);
    expect(given).toBe(right);
    const sent = [...call.headers.keys()].filter((name) => name.startsWith("x-amz-") || name === "host");
    expect(signedHeaders).toContainValues(sent);
  }
}

describe("configured headers", () => {
  test("go with every request that makes an object, signed, and with no other", async () => {
    await using s3 = await startFaultyS3();
    const all = { "x-amz-acl": "private", "x-amz-storage-class": "STANDARD_IA", "cache-control": "max-age=60" };
    const store = storeOn(s3.endpoint, { objectHeaders: { all, byJobType: new Map() }, checksum: "md5" });
    await writeInEveryWay(store);
    await store.head(REF, never);
    await store.remove(REF, never);
    expect(s3.calls.filter(makesObject)).toHaveLength(4);
    expect(s3.calls.filter((call) => !makesObject(call)).length).toBeGreaterThanOrEqual(5);
    for (const call of s3.calls) {
      for (const [name, value] of Object.entries(all)) {
        expect(call.headers.get(name)).toBe(makesObject(call) ? value : null);
      }
    }
    expectSigned(s3);
  });

  test("that concern every request go with every one", async () => {
    await using s3 = await startFaultyS3();
    const headers = { "x-amz-expected-bucket-owner": "123456789012", "x-amz-request-payer": "requester" };
    const store = storeOn(s3.endpoint, { headers });
    await writeInEveryWay(store);
    await store.head(REF, never);
    await store.check(REF.bucket, never);
    await Array.fromAsync(store.list(REF.bucket, "", never));
    await store.remove(REF, never);
    for (const call of s3.calls) {
      for (const [name, value] of Object.entries(headers)) expect(call.headers.get(name)).toBe(value);
    }
    expectSigned(s3);
  });

  test("of a job type stand above the others, and those of a job above both", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, {
      objectHeaders: {
        all: { "x-amz-storage-class": "STANDARD", "x-amz-acl": "private", "x-amz-tagging": "a=b" },
        byJobType: new Map([["gallery", { "x-amz-storage-class": "GLACIER_IR", "x-amz-meta-team": "x" }]]),
      },
    });
    const attributes: ObjectAttributes = { class: "COLD", metadata: { team: "y" }, tags: { c: "d" } };
    const meta = { contentType: "x/y", signal: never };
    await store.put(REF, pattern(1), { ...meta, jobType: "default" });
    await store.put(REF, pattern(1), { ...meta, jobType: "gallery" });
    await store.put(REF, pattern(1), { ...meta, jobType: "gallery", attributes });
    const names = ["x-amz-storage-class", "x-amz-acl", "x-amz-tagging", "x-amz-meta-team"];
    expect(s3.calls.map(({ headers }) => names.map((name) => headers.get(name)))).toEqual([
      ["STANDARD", "private", "a=b", null],
      ["GLACIER_IR", "private", "a=b", "x"],
      ["COLD", "private", "c=d", "y"],
    ]);
  });
});

describe("a job's metadata and tags", () => {
  test("are sent as a server spells them, however the object is written", async () => {
    await using s3 = await startFaultyS3();
    const attributes: ObjectAttributes = {
      metadata: { title: "Grüße, 100% sure", spaces: "  a  b ", word: "=?UTF-8?Q?x?=", none: "" },
      tags: { "a b": "ä/é", c: "" },
      class: "STANDARD",
    };
    await writeInEveryWay(storeOn(s3.endpoint, { checksum: "md5" }), { attributes });
    for (const { headers } of s3.calls.filter(makesObject)) {
      expect(headers.get("x-amz-meta-title")).toBe("Gr%C3%BC%C3%9Fe, 100%25 sure");
      expect(headers.get("x-amz-meta-spaces")).toBe("%20%20a %20b%20");
      expect(headers.get("x-amz-meta-word")).toBe("%3D?UTF-8?Q?x?=");
      expect(headers.get("x-amz-meta-none")).toBe("");
      expect(headers.get("x-amz-tagging")).toBe("a%20b=%C3%A4%2F%C3%A9&c=");
      expect(headers.get("x-amz-storage-class")).toBe("STANDARD");
    }
    expectSigned(s3);
  });

  test.each(["", " ", "  ", "a", " a", "a ", "a  b", "50%", "%20", "a\tb\n", "é 😀", "=?=?", "a=?b"])(
    "%p is encoded so that it can be signed, and decodes to what it was",
    (value) => {
      const encoded = encodeMetadata(value);
      expect(encoded).toMatch(/^(?:[!-~]+(?: [!-~]+)*)?$/);
      expect(decodeURIComponent(encoded)).toBe(value);
    },
  );
});

describe("an endpoint with a path", () => {
  test("gets every request below it, signed with it", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(`${s3.endpoint}/s3/pre-fix`);
    await put(store);
    const key = "a b/ü+%.bin";
    await store.put({ ...REF, key }, pattern(1), { contentType: "x/y", signal: never });
    expect((await store.head({ ...REF, key }, never))?.bytes).toBe(1);
    // To the server in memory the bucket's own path is one more object.
    s3.faultFor = ({ method, path }) =>
      method === "HEAD" && path.endsWith("/artifacts") ? { kind: "answer", status: 200 } : undefined;
    await store.check(REF.bucket, never);
    await Array.fromAsync(store.openUploads(REF.bucket, never));
    expect(s3.calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "PUT /s3/pre-fix/artifacts/a/b",
      "PUT /s3/pre-fix/artifacts/a%20b/%C3%BC%2B%25.bin",
      "HEAD /s3/pre-fix/artifacts/a%20b/%C3%BC%2B%25.bin",
      "HEAD /s3/pre-fix/artifacts",
      "GET /s3/pre-fix/artifacts",
    ]);
    expectSigned(s3);
  });
});

describe("the endpoint of AWS", () => {
  test.each([
    ["us-east-1", "s3.us-east-1.amazonaws.com"],
    ["cn-north-1", "s3.cn-north-1.amazonaws.com.cn"],
    ["cn-northwest-1", "s3.cn-northwest-1.amazonaws.com.cn"],
  ])("of %s is %s", async (region, host) => {
    const asked: string[] = [];
    const resolve = (name: string) => {
      asked.push(name);
      return Promise.reject(new Error("no names here"));
    };
    await failureOf(put(storeOn("", { region, resolve })));
    expect(new Set(asked)).toEqual(new Set([host]));
  });
});

describe("signed payloads", () => {
  const hashOf = (body: Uint8Array) => createHash("sha256").update(body).digest("hex");
  const hashes = (s3: FaultyS3) =>
    s3.calls.filter(({ method }) => method === "PUT").map(({ headers }) => headers.get("x-amz-content-sha256"));

  test("carry the hash of every body: whole, in one piece, and in parts", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, { signPayload: true, checksum: "md5" });
    await put(store, 2 * MIB);
    const upload = await open(store, 2 * PART + 5);
    const body = pattern(2 * PART + 5, 3);
    await writeAll(upload, body);
    await upload.commit();
    const parts = [body.subarray(0, PART), body.subarray(PART, 2 * PART), body.subarray(2 * PART)];
    expect(hashes(s3)).toEqual([hashOf(pattern(2 * MIB)), ...parts.map(hashOf)]);
    expectSigned(s3);
    expect(hashOf(s3.objects.get("a/b")?.body ?? new Uint8Array())).toBe(hashOf(body));
  });

  test("are not the rule: a long body is streamed with its hash behind it where the server takes that", async () => {
    await using s3 = await startFaultyS3();
    const body = pattern(PART + 1);
    for (const signPayload of [false, true]) {
      const store = storeOn(s3.endpoint, { signPayload });
      const sha256 = () => hashOf(body);
      const size = body.byteLength;
      const onOpen = () => Promise.resolve();
      const upload = await store.open(REF, { contentType: "x/y", signal: never, size, sha256, onOpen });
      await writeAll(upload, body);
      await upload.commit();
      const isStreamed = hashes(s3).at(-1) === "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
      expect(isStreamed).toBe(!signPayload);
    }
  });
});
