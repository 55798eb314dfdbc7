import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { Accepted } from "../support/answers.ts";
import { expectIdle, expectSoundStores, expectTrueBooks } from "../support/books.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { digest, pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL, storagesFor } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;

interface Wanted {
  readonly resources: object[];
  readonly bodies: Map<string, Uint8Array | undefined>;
}

/** Good resources of every kind. */
function goodResources(origin: Origin): Wanted {
  const small = Buffer.from("small and good\n");
  const known = pattern(7 * MIB + 13, 2);
  const unknown = pattern(11 * MIB + 5, 3);
  const hash = (name: string, bytes: Uint8Array) => `${name}:${createHash(name).update(bytes).digest("hex")}`;
  origin.serve("/small.txt", small, { type: "text/plain; charset=utf-8" });
  origin.answer("/moved", (_request, response) => response.writeHead(302, { location: "/again" }).end());
  origin.answer("/again", (_request, response) => response.writeHead(308, { location: "small.txt?q=1" }).end());
  origin.serve("/known.bin", known);
  origin.serve("/unknown.bin", unknown, { chunked: true });
  origin.serve("/empty", "");
  const at = (path: string) => origin.url + path;
  return {
    resources: [
      { id: "small.txt", url: at("/small.txt"), content_type: "text/*", reject_html: true },
      { id: "sub folder/ünï%20#?.txt", url: at("/small.txt?x=%20") },
      { id: "moved.txt", url: at("/moved") },
      { id: "known.bin", url: at("/known.bin"), size: known.length, checksum: hash("sha256", known) },
      { id: "unknown.bin", url: at("/unknown.bin"), checksum: hash("sha1", unknown) },
      { id: "md5.txt", url: at("/small.txt"), checksum: hash("md5", small).toUpperCase().replace("MD5", "md5") },
      { id: "empty", url: at("/empty"), size: 0 },
    ],
    bodies: new Map<string, Uint8Array | undefined>([
      ["small.txt", small],
      ["sub folder/ünï%20#?.txt", small],
      ["moved.txt", small],
      ["known.bin", known],
      ["unknown.bin", unknown],
      ["md5.txt", small],
      ["empty", new Uint8Array(0)],
    ]),
  };
}

/** Resources that fail for good, each in its way, with the code that says so. */
function badResources(origin: Origin): Wanted & { codes: Record<string, string> } {
  const large = pattern(3 * MIB, 4);
  origin.serve("/page", "<!doctype html><p>not what you wanted");
  origin.answer("/broken", (_request, response) => response.writeHead(500).end("broken"));
  origin.answer("/loop", (_request, response) => response.writeHead(302, { location: "/loop" }).end());
  origin.answer("/inside", (_request, response) => response.writeHead(302, { location: "http://10.0.0.1/" }).end());
  origin.answer("/nowhere", (_request, response) => response.writeHead(301).end());
  origin.answer("/here", (_request, response) => response.writeHead(307, { location: "" }).end());
  origin.serve("/large", large, { chunked: true });
  origin.answer("/cut", (_request, response) => {
    response.writeHead(200, { "content-length": 4 * MIB }).write(large, () => response.destroy());
  });
  const at = (path: string) => origin.url + path;
  const codes = {
    gone: "DOWNLOAD_HTTP_404",
    broken: "DOWNLOAD_HTTP_500",
    "wrong-sum": "DOWNLOAD_CHECKSUM_MISMATCH",
    "wrong-size": "DOWNLOAD_SIZE_MISMATCH",
    "wrong-size-late": "DOWNLOAD_SIZE_MISMATCH",
    html: "DOWNLOAD_CONTENT_TYPE_MISMATCH",
    type: "DOWNLOAD_CONTENT_TYPE_MISMATCH",
    loop: "DOWNLOAD_TOO_MANY_REDIRECTS",
    inside: "DOWNLOAD_URL_NOT_ALLOWED",
    nowhere: "DOWNLOAD_HTTP_301",
    here: "DOWNLOAD_HTTP_307",
    cut: "DOWNLOAD_TRUNCATED",
  };
  return {
    codes,
    resources: [
      { id: "gone", url: at("/gone") },
      { id: "broken", url: at("/broken") },
      { id: "wrong-sum", url: at("/large"), checksum: `sha256:${"0".repeat(64)}` },
      { id: "wrong-size", url: at("/page"), size: 3 },
      { id: "wrong-size-late", url: at("/large"), size: 3 * MIB + 1 },
      { id: "html", url: at("/page"), reject_html: true },
      { id: "type", url: at("/page"), content_type: "image/*" },
      { id: "loop", url: at("/loop") },
      { id: "inside", url: at("/inside") },
      { id: "nowhere", url: at("/nowhere") },
      { id: "here", url: at("/here") },
      { id: "cut", url: at("/cut") },
    ],
    bodies: new Map(Object.keys(codes).map((id) => [id, undefined])),
  };
}

for (const storage of storagesFor("submit to complete")) {
  describe(`from submission to the end, on ${storage.name}`, () => {
    test("resources of every kind are stored whole, and the books say so", async () => {
      await using origin = await startOrigin();
      await using service = await startService({ settings: storage.settings, env: storage.env });
      const { resources, bodies } = goodResources(origin);
      const metadata = '{"z" : 1.0e2, "a": [ "\\u00fc", 12345678901234567890 ]}';
      const manifest = `{"manifest_version":"v1","metadata":${metadata},"resources":${JSON.stringify(resources)}}`;

      const response = await service.post(manifest);
      expect(response.status).toBe(202);
      expect(response.headers.get("idempotent-replayed")).toBeNull();
      const accepted = (await response.json()) as Accepted;
      expect(accepted).toEqual({
        job_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{10}00$/),
        status: "queued",
        manifest_key: expect.stringContaining(`/manifests/default/${accepted.job_id}/metadata.json`),
        resource_count: bodies.size,
      });
      // A job is found as soon as its 202 is out.
      expect((await service.job(accepted.job_id)).resource_total).toBe(bodies.size);

      expect((await service.finished(accepted.job_id)).status).toBe("completed");
      await expectTrueBooks(service, storage, accepted.job_id, bodies);
      const rows = await service.resources(accepted.job_id);
      expect(rows.find(({ resource_id }) => resource_id === "moved.txt")).toMatchObject({
        url: `${origin.url}/moved`,
        final_url: `${origin.url}/small.txt?q=1`,
        http_status: 200,
        content_type: "text/plain; charset=utf-8",
        attempts: 1,
        error: null,
      });
      const stored = Buffer.from(await storage.read(service, accepted.manifest_key)).toString();
      expect(stored).toContain(`"metadata":${metadata}`);
      // Digests are in lower case from here on.
      const manifested: unknown = JSON.parse(JSON.stringify(resources).replace(/md5:\w+/, (sum) => sum.toLowerCase()));
      expect((JSON.parse(stored) as { resources: unknown }).resources).toEqual(manifested);
      await expectIdle(service);
      expect(await service.stop()).toBe(0);
      expectSoundStores(service);
    });

    test("a job of good and bad resources ends partial, with a dead letter for each bad one", async () => {
      await using origin = await startOrigin();
      await using service = await startService({
        settings: { ...storage.settings, "queue.max_retries": 1 },
        env: storage.env,
      });
      origin.serve("/good", "good");
      const { resources, bodies, codes } = badResources(origin);
      resources.push({ id: "good", url: `${origin.url}/good` });
      bodies.set("good", Buffer.from("good"));
      const jobId = await service.submit({ manifest_version: "v1", resources });

      expect((await service.finished(jobId)).status).toBe("partial");
      const job = await expectTrueBooks(service, storage, jobId, bodies);
      expect(Object.fromEntries(job.errors.map(({ resource_id, code }) => [resource_id, code]))).toEqual(codes);
      const attempts = Object.fromEntries(job.errors.map(({ resource_id, attempts }) => [resource_id, attempts]));
      expect(attempts).toMatchObject({ gone: 1, broken: 2, "wrong-sum": 2, html: 1, inside: 1, cut: 2 });
      await expectIdle(service);
    });

    test("a job of which nothing could be had ends failed", async () => {
      await using origin = await startOrigin();
      await using service = await startService({ settings: storage.settings, env: storage.env });
      const ids = ["a", "b", "c"];
      const jobId = await service.submit({
        manifest_version: "v1",
        resources: ids.map((id) => ({ id, url: `${origin.url}/${id}` })),
      });
      expect((await service.finished(jobId)).status).toBe("failed");
      await expectTrueBooks(service, storage, jobId, new Map(ids.map((id) => [id, undefined])));
    });

    test("a manifest that names a prefix and a file has its objects there", async () => {
      await using origin = await startOrigin();
      await using service = await startService({ settings: storage.settings, env: storage.env });
      const url = origin.serve("/a", "abc");
      const prefix = `flow/${crypto.randomUUID()}/`;
      const jobId = await service.submit({
        manifest_version: "v1",
        storage: { bucket: storage.bucket, resource_key_prefix: prefix, manifest_file: "list.json" },
        resources: [{ id: "x/a", url }],
      });
      expect((await service.finished(jobId)).status).toBe("completed");
      expect(await storage.keys(service, [prefix])).toEqual([`${prefix}list.json`, `${prefix}x/a`]);
    });
  });
}

describe("a coding that was not asked for", () => {
  /** Bodies that are put whole, streamed and sent in parts, served as gzip; and one that is not coded. */
  function codedResources(origin: Origin): Wanted {
    const gzip = (bytes: number) => gzipSync(pattern(bytes, 5), { level: 0 });
    const bodies = new Map([
      ["small", gzip(1000)],
      ["known", gzip(3 * MIB)],
      ["unknown", gzip(9 * MIB)],
      ["plain", pattern(1000, 6)],
    ]);
    const resources = [...bodies].map(([id, body]) => {
      const headers = {
        ...(id !== "plain" && { "content-encoding": "GZip" }),
        ...(id !== "unknown" && { "content-length": body.byteLength }),
      };
      const url = origin.answer(`/${id}`, (_request, response) => {
        response.writeHead(200, headers).flushHeaders();
        response.end(body);
      });
      return { id, url, checksum: `sha256:${createHash("sha256").update(body).digest("hex")}` };
    });
    return { resources, bodies };
  }

  const CODINGS = { small: "gzip", known: "gzip", unknown: "gzip", plain: null };

  async function codingsOf(service: Service, jobId: string): Promise<Record<string, string | null>> {
    const rows = await service.resources(jobId);
    return Object.fromEntries(rows.map(({ resource_id, content_encoding }) => [resource_id, content_encoding]));
  }

  test("is kept: the bytes are stored as they were served, and the resources say how they are coded", async () => {
    await using origin = await startOrigin();
    await using service = await startService({ settings: LOCAL.settings });
    const { resources, bodies } = codedResources(origin);
    const jobId = await service.submit({ manifest_version: "v1", resources });
    expect((await service.finished(jobId)).status).toBe("completed");
    await expectTrueBooks(service, LOCAL, jobId, bodies);
    expect(await codingsOf(service, jobId)).toEqual(CODINGS);
    expect(await service.stop()).toBe(0);
    await service.start();
    expect(await codingsOf(service, jobId)).toEqual(CODINGS);
  });

  test("goes with the objects to S3", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startService({
      settings: { "storage.backend": "s3", "storage.endpoint": s3.endpoint, "storage.bucket": "fetchbox-artifacts" },
      env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
    });
    const { resources, bodies } = codedResources(origin);
    const jobId = await service.submit({ manifest_version: "v1", resources });
    expect((await service.finished(jobId)).status).toBe("completed");
    expect(await codingsOf(service, jobId)).toEqual(CODINGS);
    for (const [id, body] of bodies) {
      const object = s3.objects.get(`resources/default/${jobId}/${id}`);
      expect([id, digest(object?.body)]).toEqual([id, digest(body)]);
      expect([id, object?.metadata["content-encoding"]]).toEqual([id, id === "plain" ? undefined : "gzip"]);
    }
  });
});
