import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { createBunReader, type Environment, type ObjectReader } from "../../src/storage/s3/client/bun-reader.ts";
import { fixedCredentials } from "../../src/storage/s3/credentials/credential-source.ts";
import { createS3Store, type S3StoreOptions } from "../../src/storage/s3/s3-store.ts";
import type { ObjectStoreHarness } from "../contract/object-store.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, put, REF, storeOn, storeOptionsOn } from "../support/faulty-store.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";
import { makeS3Harness } from "../support/s3-harness.ts";
import { type S3Server, s3OptionsOf, s3ServerFor } from "../support/s3-server.ts";

const server = s3ServerFor("reading through Bun's client from a real S3 server");
if (server !== undefined) describe("on a real S3 server, Bun's client", () => describeServer(server));

function readerWith(options: S3StoreOptions, environment: Environment = {}): ObjectReader {
  return createBunReader(options, createS3Store(options), environment);
}

const readerOn = (s3: FaultyS3, options: Partial<S3StoreOptions> = {}, environment: Environment = {}) =>
  readerWith(storeOptionsOn(s3.endpoint, options), environment);

const keysOf = (reader: ObjectReader) => Array.fromAsync(reader.list("artifacts", "a/", never));
const bytesOf = async (reader: ObjectReader) => new Response(await reader.read(REF, never)).bytes();

/** Which clients asked, in order: only Bun's names itself. */
function askers({ calls }: FaultyS3): string[] {
  return calls.map(({ headers }) => (isBuns(headers) ? "Bun" : "own"));
}

function isBuns(headers: Headers): boolean {
  return headers.get("user-agent")?.startsWith("Bun/") === true;
}

function page(keys: readonly string[], more = "<IsTruncated>false</IsTruncated>") {
  const contents = keys
    .map((key) => `<Contents><Key>${key}</Key><Size>7</Size><ETag>&quot;e&quot;</ETag></Contents>`)
    .join("");
  return { kind: "answer", status: 200, body: `<ListBucketResult>${more}${contents}</ListBucketResult>` } as const;
}

describe("a listing", () => {
  test("decodes keys as the server says that they are encoded, and goes on where a page ends", async () => {
    await using s3 = await startFaultyS3();
    const next = "<IsTruncated>true</IsTruncated><NextContinuationToken>a+b/=&amp; %c</NextContinuationToken>";
    s3.faultFor = ({ query }) =>
      query.get("continuation-token") === "a+b/=& %c"
        ? page(["a/x&amp;y z+%41&#x42;"])
        : page(["a/1+%2B%C3%A9%2520"], `<EncodingType>url</EncodingType>${next}`);
    expect(await keysOf(readerOn(s3))).toEqual([
      { key: "a/1 +é%20", bytes: 7, etag: "e" },
      { key: "a/x&y z+%41B", bytes: 7, etag: "e" },
    ]);
    expect(askers(s3)).toEqual(["Bun", "Bun"]);
    // A key that XML cannot hold would spoil the page otherwise.
    expect(s3.calls.map(({ query }) => query.get("encoding-type"))).toEqual(["url", "url"]);
  });

  test("that Bun's client cannot read is asked for again, from the same page on", async () => {
    await using s3 = await startFaultyS3();
    const next = "<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>";
    s3.faultFor = ({ query, headers }) => {
      if (!query.has("continuation-token")) return page(["a/1"], next);
      return isBuns(headers) ? { kind: "answer", status: 200, body: "no listing" } : page(["a/2"]);
    };
    expect((await keysOf(readerOn(s3))).map(({ key }) => key)).toEqual(["a/1", "a/2"]);
    expect(askers(s3)).toEqual(["Bun", "Bun", "own"]);
  });

  test("that S3 refuses fails as our own does", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "answer", status: 503, body: "<Error><Code>SlowDown</Code></Error>" });
    const failure = await failureOf(keysOf(readerOn(s3)));
    const own = await failureOf(keysOf(storeOn(s3.endpoint)));
    expect([failure.code, failure.message]).toEqual([own.code, own.message]);
    expect(failure.message).toContain("SlowDown");
  });

  test("of a silent S3 is UPLOAD_TIMEOUT, and Bun's client is not asked again", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "hang" });
    const arrived = s3.arrival(({ headers }) => isBuns(headers));
    const reader = readerOn(s3, { timeoutMs: 400 });
    expect((await failureOf(keysOf(reader))).code).toBe("UPLOAD_TIMEOUT");
    expect((await failureOf(bytesOf(reader))).code).toBe("UPLOAD_TIMEOUT");
    // However late the request goes out that was given up.
    await arrived;
    s3.faultFor = () => page(["a/1"]);
    expect(await keysOf(reader)).toEqual([{ key: "a/1", bytes: 7, etag: "e" }]);
    expect([askers(s3).at(-1), askers(s3).filter((asker) => asker === "Bun")]).toEqual(["own", ["Bun"]]);
  });

  test("ends with the reason of its signal", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "hang" });
    const controller = new AbortController();
    const arrived = s3.arrival(() => true);
    const listing = Array.fromAsync(readerOn(s3).list("artifacts", "", controller.signal));
    await arrived;
    const reason = new Error("cancelled");
    controller.abort(reason);
    expect(await rejectionOf(listing)).toBe(reason);
    expect(askers(s3)).toEqual(["Bun"]);
  });
});

describe("an object", () => {
  test("is read as it lies there, whatever coding it is labelled with", async () => {
    await using s3 = await startFaultyS3();
    const packed = Bun.gzipSync(Buffer.from(pattern(5000)));
    const meta = { contentType: "x/y", contentEncoding: "gzip", signal: never };
    await storeOn(s3.endpoint).put(REF, packed, meta);
    expect(digest(await bytesOf(readerOn(s3)))).toBe(digest(packed));
    expect(askers(s3)).toEqual(["own", "Bun"]);
  });

  test("that is not there is nothing", async () => {
    await using s3 = await startFaultyS3();
    expect(await readerOn(s3).read(REF, never)).toBeUndefined();
  });

  test("is not fetched from where a redirect leads", async () => {
    await using s3 = await startFaultyS3();
    await using elsewhere = await startFaultyS3();
    s3.faultFor = () => ({ kind: "answer", status: 307, location: `${elsewhere.endpoint}/artifacts/a/b` });
    expect((await failureOf(bytesOf(readerOn(s3)))).code).toBe("UPLOAD_UNAVAILABLE");
    expect(elsewhere.calls).toEqual([]);
  });

  test("whose bytes stop fails with UPLOAD_TIMEOUT, or UPLOAD_UNAVAILABLE where they are cut off", async () => {
    await using s3 = await startFaultyS3();
    await put(storeOn(s3.endpoint), MIB);
    s3.faultFor = () => ({ kind: "cut" });
    const cut = await failureOf(bytesOf(readerOn(s3)));
    expect([cut.code, cut.message]).toEqual(["UPLOAD_UNAVAILABLE", expect.stringContaining("ECONNRESET")]);
    expect(Bun.inspect(cut)).not.toContain("X-Amz-");
    expect(askers(s3)).toEqual(["own", "Bun"]);
    s3.faultFor = () => ({ kind: "pause" });
    expect((await failureOf(bytesOf(readerOn(s3, { timeoutMs: 400 })))).code).toBe("UPLOAD_TIMEOUT");
  });

  test("of unknown length is left to our own client, which notices a reset", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = ({ headers }) => (isBuns(headers) ? { kind: "unframed" } : { kind: "reset" });
    expect((await failureOf(bytesOf(readerOn(s3)))).code).toBe("UPLOAD_UNAVAILABLE");
    expect(askers(s3)).toEqual(["Bun", "own", "own", "own"]);
  });

  test("that is no longer wanted costs its connection", async () => {
    await using s3 = await startFaultyS3();
    const call = {
      method: "PUT",
      path: "",
      ...REF,
      query: new URLSearchParams(),
      headers: new Headers(),
      connection: 0,
    };
    s3.handle(call, Buffer.from(pattern(20 * MIB)));
    const stream = await readerOn(s3).read(REF, never);
    const reader = stream?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await reader?.cancel();
    await s3.idle();
    expect(askers(s3)).toEqual(["Bun"]);
  });

  test("of 200 MiB is read in little memory", async () => {
    const hasher = new Bun.CryptoHasher("sha256");
    for (let i = 0; i < 200; i++) hasher.update(pattern(MIB, i));
    using s3 = Bun.serve({
      port: 0,
      fetch: () => {
        let i = 0;
        const pull = (controller: ReadableStreamDefaultController) =>
          i < 200 ? controller.enqueue(pattern(MIB, i++)) : controller.close();
        return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
      },
    });
    const script = `
      import { createBunReader } from "${import.meta.dir}/../../src/storage/s3/client/bun-reader.ts";
      import { never, REF, storeOptionsOn } from "${import.meta.dir}/../support/faulty-store.ts";
      const reader = createBunReader(storeOptionsOn("${s3.url.origin}"), { read: () => undefined }, {});
      const before = process.memoryUsage.rss();
      const hasher = new Bun.CryptoHasher("sha256");
      let peak = 0;
      for await (const chunk of await reader.read(REF, never)) {
        hasher.update(chunk);
        peak = Math.max(peak, process.memoryUsage.rss());
      }
      console.log(JSON.stringify({ sha256: hasher.digest("hex"), mib: (peak - before) / ${MIB} }));
      process.exit(0);
    `;
    await using child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    const { sha256, mib } = await child.stdout.json();
    expect(sha256).toBe(hasher.digest("hex"));
    expect(mib).toBeLessThan(100);
  });
});

test("keys that change sign the next request, and without any nothing is sent", async () => {
  await using s3 = await startFaultyS3();
  s3.faultFor = () => page(["a/1"]);
  const none = new Failure("UPLOAD_UNAVAILABLE", "there are no S3 credentials");
  const ids = ["FIRST", "SECOND"];
  const current = () => {
    const accessKeyId = ids.shift();
    return accessKeyId === undefined
      ? Promise.reject(none)
      : Promise.resolve({ accessKeyId, secretAccessKey: "the secret" });
  };
  const reader = readerOn(s3, { credentials: { current, refused() {} } });
  await keysOf(reader);
  await keysOf(reader);
  const signed = s3.calls.map(({ headers }) => /Credential=(\w+)/.exec(headers.get("authorization") ?? "")?.[1]);
  expect([signed, askers(s3)]).toEqual([
    ["FIRST", "SECOND"],
    ["Bun", "Bun"],
  ]);
  expect(await failureOf(keysOf(reader))).toBe(none);
  expect(s3.calls).toHaveLength(2);
});

describe("our own client does everything", () => {
  async function askersWith(options: Partial<S3StoreOptions>, environment: Environment = {}): Promise<string[]> {
    await using s3 = await startFaultyS3();
    s3.faultFor = ({ key }) => (key === "" ? page(["a/1"]) : undefined);
    const reader = readerOn(s3, options, environment);
    expect(await keysOf(reader)).toEqual([{ key: "a/1", bytes: 7, etag: "e" }]);
    expect(await reader.read(REF, never)).toBeUndefined();
    return askers(s3);
  }

  test("with a session token, which Bun's client would take along a redirect", async () => {
    const credentials = fixedCredentials({ accessKeyId: "AKID", secretAccessKey: "secret", sessionToken: "token" });
    expect(await askersWith({ credentials })).toEqual(["own", "own"]);
  });

  test("with a session token of the environment, which Bun's client would take for ours", async () => {
    for (const name of ["AWS_SESSION_TOKEN", "S3_SESSION_TOKEN"]) {
      expect(await askersWith({}, { [name]: "another's" })).toEqual(["own", "own"]);
    }
  });

  test("with headers of the configuration, which Bun's client cannot send", async () => {
    expect(await askersWith({ headers: { "x-amz-request-payer": "requester" } })).toEqual(["own", "own"]);
    expect(await askersWith({ headers: {} })).toEqual(["Bun", "Bun", "own"]);
  });

  test("with authorities of the configuration, which Bun's client does not take", async () => {
    expect(await askersWith({ ca: ["-----BEGIN CERTIFICATE-----"] })).toEqual(["own", "own"]);
  });
});

test.each(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])("%s of the environment is not used", async (name) => {
  await using s3 = await startFaultyS3();
  await using proxy = await startFaultyS3();
  s3.faultFor = ({ key }) => (key === "" ? page(["a/1"]) : undefined);
  await put(storeOn(s3.endpoint));
  process.env[name] = proxy.endpoint;
  try {
    const reader = readerOn(s3, {}, process.env);
    expect(await keysOf(reader)).toEqual([{ key: "a/1", bytes: 7, etag: "e" }]);
    expect(digest(await bytesOf(reader))).toBe(digest(pattern(100)));
  } finally {
    delete process.env[name];
  }
  expect(proxy.calls).toEqual([]);
  expect(askers(s3)).toEqual(["own", "Bun", "Bun"]);
});

test("virtual addressing puts the bucket into the host, path addressing into the path", async () => {
  await using s3 = await startFaultyS3();
  const endpoint = s3.endpoint.replace("127.0.0.1", "localhost");
  const { host } = new URL(endpoint);
  s3.faultFor = () => page(["a/1"]);
  const resolve = () => Promise.resolve(["127.0.0.1"]);
  for (const options of [
    storeOptionsOn(endpoint, { resolve }),
    storeOptionsOn(`${endpoint}/base/path`, { resolve }),
    storeOptionsOn(endpoint, { resolve, addressing: "virtual" }),
  ]) {
    const reader = readerWith(options);
    await keysOf(reader);
    await bytesOf(reader);
  }
  expect(s3.calls.map(({ path, headers }) => (headers.get("host") ?? "") + path)).toEqual([
    `${host}/artifacts/`,
    `${host}/artifacts/a/b`,
    `${host}/base/path/artifacts/`,
    `${host}/base/path/artifacts/a/b`,
    `artifacts.${host}/`,
    `artifacts.${host}/a/b`,
  ]);
  expect(new Set(askers(s3))).toEqual(new Set(["Bun"]));
});

function describeServer(real: S3Server): void {
  const options = s3OptionsOf(real);
  const { bucket } = real;
  const reader = readerWith(options);
  let harness: ObjectStoreHarness;
  beforeAll(async () => {
    harness = await makeS3Harness(real);
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  const meta = { contentType: "x/y", signal: never };
  const list = (from: ObjectReader, prefix: string) => Array.fromAsync(from.list(bucket, prefix, never));

  test("lists and reads keys of every kind as our own does", async () => {
    const { store } = harness;
    const prefix = `${harness.prefix}odd + é/`;
    const odd = `a b|a+b|a%2Fb|100%|%zz|&amp;|&#38;|<x>|</Key>|]]>|é|e\u0301|😀|日本/語|"'|a=b&c|#f|q?x=1|(x)!*~|a:b;c,d@$`;
    const names = [...odd.split("|"), "[x]{y}^`", "\u00a0", "\u2028", "\ufffe", "s/..x/.y", " lead", "tail ", "+", "~"];
    names.push("l".repeat(1023 - Buffer.byteLength(prefix)), "é".repeat(400));
    for (const name of names) await store.put({ bucket, key: prefix + name }, Buffer.from(name), meta);
    const listed = await list(reader, prefix);
    expect(listed).toEqual(await list(store, prefix));
    expect(listed).toHaveLength(names.length);
    for (const { key } of listed) {
      const stream = await reader.read({ bucket, key }, never);
      expect(prefix + (await new Response(stream).text())).toBe(key);
    }
  });

  test("lists more than a page", async () => {
    const { store } = harness;
    const prefix = `${harness.prefix}pages/`;
    const keys = Array.from({ length: 1003 }, (_, i) => `${prefix}${i} +é`);
    for (let at = 0; at < keys.length; at += 24) {
      await Promise.all(keys.slice(at, at + 24).map((key) => store.put({ bucket, key }, pattern(1), meta)));
    }
    const listed = await list(reader, prefix);
    expect(listed).toHaveLength(1003);
    expect(listed).toEqual(await list(store, prefix));
  });

  test("says what is wrong as our own does", async () => {
    const wrong = { ...options, credentials: fixedCredentials({ ...real.credentials, secretAccessKey: "wrong" }) };
    for (const [some, name] of [
      [options, "fetchbox-no-such-bucket"],
      [wrong, bucket],
    ] as const) {
      const [ours, own] = [readerWith(some), createS3Store(some)];
      const failures = async (from: ObjectReader) => [
        await failureOf(Array.fromAsync(from.list(name, "", never))),
        await failureOf(Promise.resolve(from.read({ bucket: name, key: "x" }, never))),
      ];
      const said = (await failures(ours)).map(({ code, message }) => [code, message]);
      expect(said).toEqual((await failures(own)).map(({ code, message }) => [code, message]));
    }
  });
}
