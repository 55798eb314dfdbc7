import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { errorOf } from "../support/answers.ts";
import { startOrigin } from "../support/origin.ts";
import { expectNoJob, refusal } from "../support/refusal.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;
const GOOD = { manifest_version: "v1", resources: [{ id: "a", url: "http://127.0.0.1:9/a" }] };

test("a manifest that breaks rules is answered with 400 and the place of every breach", async () => {
  await using service = await startService();
  const resource = (more: object) => ({ ...GOOD, resources: [{ ...GOOD.resources[0], ...more }] });
  const text = (from: string, to: string) => JSON.stringify(GOOD).replace(from, to);
  const cases: readonly (readonly [body: unknown, path: string])[] = [
    ["", ""],
    ["{", ""],
    ["[]", ""],
    ["null", ""],
    [new Uint8Array([0xff, 0xfe]), ""],
    [`\ufeff${JSON.stringify(GOOD)}`, ""],
    [{ resources: GOOD.resources }, "/manifest_version"],
    [{ ...GOOD, manifest_version: "v2" }, "/manifest_version"],
    [{ manifest_version: "v1" }, "/resources"],
    [{ ...GOOD, resources: [] }, "/resources"],
    [{ ...GOOD, extra: 1 }, "/extra"],
    [{ ...GOOD, metadata: [] }, "/metadata"],
    [{ ...GOOD, attributes: { priority: "urgent" } }, "/attributes/priority"],
    [{ ...GOOD, attributes: { colour: "red" } }, "/attributes/colour"],
    [{ ...GOOD, storage: { bucket: "foreign" } }, "/storage/bucket"],
    [{ ...GOOD, storage: { resource_key_prefix: "no/end" } }, "/storage/resource_key_prefix"],
    [{ ...GOOD, storage: { resource_key_prefix: "../up/" } }, "/storage/resource_key_prefix"],
    [{ ...GOOD, storage: { manifest_file: "a/b" } }, "/storage/manifest_file"],
    [{ ...GOOD, storage: { manifest_file: "a" } }, "/resources/0/id"],
    [resource({ id: "../a" }), "/resources/0/id"],
    [resource({ id: "/a" }), "/resources/0/id"],
    [resource({ id: "a/" }), "/resources/0/id"],
    [resource({ id: "a//b" }), "/resources/0/id"],
    [resource({ id: "a\\b" }), "/resources/0/id"],
    [resource({ id: "a\nb" }), "/resources/0/id"],
    [resource({ id: "" }), "/resources/0/id"],
    [resource({ id: "x".repeat(129) }), "/resources/0/id"],
    [resource({ id: "€".repeat(86) }), "/resources/0/id"],
    [resource({ id: 7 }), "/resources/0/id"],
    [{ ...GOOD, resources: [GOOD.resources[0], GOOD.resources[0]] }, "/resources/1/id"],
    [{ ...GOOD, resources: [GOOD.resources[0], { ...GOOD.resources[0], id: "a/b" }] }, "/resources/1/id"],
    [resource({ url: "/relative" }), "/resources/0/url"],
    [resource({ url: "ftp://example.com/" }), "/resources/0/url"],
    [resource({ url: "file:///etc/passwd" }), "/resources/0/url"],
    [resource({ url: "http://10.1.2.3/" }), "/resources/0/url"],
    [resource({ url: "http://[::1]/" }), "/resources/0/url"],
    [resource({ url: "http://0xa9fea9fe/" }), "/resources/0/url"],
    [resource({ url: `http://a.example/${"x".repeat(2048)}` }), "/resources/0/url"],
    [resource({ headers: { "a b": "c" } }), "/resources/0/headers"],
    [resource({ headers: { A: "x\r\ny" } }), "/resources/0/headers/A"],
    [resource({ headers: { A: "x".repeat(1025) } }), "/resources/0/headers/A"],
    [resource({ headers: { Host: "a" } }), "/resources/0/headers/Host"],
    [resource({ headers: { "proxy-authorization": "a" } }), "/resources/0/headers/proxy-authorization"],
    [
      resource({ headers: Object.fromEntries(Array.from("abcdefghijk").map((name) => [name, "1"])) }),
      "/resources/0/headers",
    ],
    [resource({ tags: { a: 1 } }), "/resources/0/tags/a"],
    [resource({ checksum: "sha256:12" }), "/resources/0/checksum"],
    [resource({ checksum: `crc32:${"0".repeat(64)}` }), "/resources/0/checksum"],
    [resource({ size: -1 }), "/resources/0/size"],
    [resource({ size: 1.5 }), "/resources/0/size"],
    [resource({ size: "5" }), "/resources/0/size"],
    [resource({ content_type: "image" }), "/resources/0/content_type"],
    [resource({ reject_html: "yes" }), "/resources/0/reject_html"],
    [resource({ proxy_pool: "none" }), "/resources/0/proxy_pool"],
    [resource({ colour: "red" }), "/resources/0/colour"],
    [text('"id":"a"', '"id":"a","id":"b"'), "/resources/0/id"],
    [text('"id":"a"', String.raw`"id":"\ud800"`), "/resources/0/id"],
  ];
  for (const [body, path] of cases) {
    const response = await service.post(body);
    const error = await errorOf(response);
    expect([body, response.status, error.code]).toEqual([body, 400, "INVALID_PAYLOAD"]);
    expect([body, error.details.map((detail) => detail.path)]).toEqual([body, [path]]);
  }
  const many = { ...GOOD, resources: Array.from({ length: 50 }, (_, index) => ({ id: `${index}`, url: "x" })) };
  expect((await errorOf(await service.post(many))).details.length).toBe(20);
  const over = { ...GOOD, resources: Array.from({ length: 1001 }, (_, i) => ({ ...GOOD.resources[0], id: `${i}` })) };
  expect((await errorOf(await service.post(over))).details[0]?.path).toBe("/resources");
  const long = await (await service.post(resource({ id: "\u0001".repeat(50) + "secret".repeat(5000) }))).text();
  expect(long.length).toBeLessThan(1000);
  await expectNoJob(service);
});

test("headers that break rules are answered with 400 and their names", async () => {
  await using service = await startService();
  for (const [name, value] of [
    ["X-Fetchbox-Job-Type", "Not A Name"],
    ["X-Fetchbox-Job-Type", ".."],
    ["X-Fetchbox-Tenant", "x".repeat(65)],
    ["X-Fetchbox-Tenant", "a/b"],
  ] as const) {
    const error = await errorOf(await service.post(GOOD, { [name]: value }));
    expect([error.code, error.details[0]?.path]).toEqual(["INVALID_PAYLOAD", `/headers/${name}`]);
  }
  expect(await refusal(await service.post(GOOD, { "x-fetchbox-job-type": "unheard-of" }))).toEqual([
    403,
    "UNSUPPORTED_JOB_TYPE",
  ]);
  await expectNoJob(service);
});

test("other media types and codings are answered with 415", async () => {
  await using service = await startService();
  for (const type of ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", ""]) {
    const response = await service.post(GOOD, { "content-type": type });
    expect([type, ...(await refusal(response))]).toEqual([type, 415, "UNSUPPORTED_MEDIA_TYPE"]);
  }
  for (const coding of ["br", "deflate", "zstd", "gzip, gzip", "x"]) {
    const response = await service.post(GOOD, { "content-encoding": coding });
    expect([coding, ...(await refusal(response))]).toEqual([coding, 415, "UNSUPPORTED_MEDIA_TYPE"]);
  }
  const broken = await service.post(Bun.gzipSync(JSON.stringify(GOOD)).subarray(0, 40), { "content-encoding": "gzip" });
  expect(await refusal(broken)).toEqual([400, "INVALID_PAYLOAD"]);
  for (const type of ["Application/JSON", "application/json; charset=utf-8", "application/json ;x=y"]) {
    expect([type, (await service.post(GOOD, { "content-type": type })).status]).toEqual([type, 202]);
  }
  const packed = Bun.gzipSync(JSON.stringify(GOOD));
  expect((await service.post(packed, { "content-encoding": "GZIP" })).status).toBe(202);
  expect((await service.post(GOOD, { "content-encoding": "identity" })).status).toBe(202);
});

test("a token opens what its role may do, and without one nothing but health is open", async () => {
  const [operator, submit] = ["operator-secret-0123456789abcdef", "submit-secret-0123456789abcdef"];
  await using service = await startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${operator},submit:${submit}` },
  });
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  for (const path of ["/operators/jobs", "/operators/dlq", "/metrics", "/swagger/json", "/operators/health"]) {
    const none = await service.fetch(path);
    expect(none.headers.get("www-authenticate")).toStartWith("Bearer");
    expect([path, ...(await refusal(none))]).toEqual([path, 401, "UNAUTHORIZED"]);
    for (const wrong of [operator.slice(0, -1), `${operator}x`, "x"]) {
      expect(await refusal(await service.fetch(path, as(wrong)))).toEqual([401, "UNAUTHORIZED"]);
    }
    expect((await service.fetch(path, as(operator))).status).toBe(200);
  }
  expect(await refusal(await service.post(GOOD))).toEqual([401, "UNAUTHORIZED"]);
  expect(await refusal(await service.fetch("/operators/dlq", as(submit)))).toEqual([403, "FORBIDDEN"]);
  expect((await service.fetch("/operators/jobs", as(submit))).status).toBe(200);
  for (const token of [operator, submit]) {
    const accepted = await service.post(GOOD, { authorization: `bearer ${token}` });
    expect(accepted.status).toBe(202);
  }
  for (const path of ["/health/live", "/health/ready"]) expect((await service.fetch(path)).status).toBe(200);
  expect(service.log).not.toContain("secret-0123456789");
});

describe("a body over the limit is answered with 413", () => {
  const settings = { "api.max_payload_bytes": "64KiB" };

  test("when its length says so, before it is sent", async () => {
    await using service = await startService({ settings });
    const { host, hostname, port } = new URL(service.url);
    const answer = await rawExchange(hostname, Number(port), (socket) => {
      socket.write(
        `POST /jobs HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n`,
      );
    });
    expect(answer.text).toStartWith("HTTP/1.1 413 ");
    expect(answer.text).toContain("PAYLOAD_TOO_LARGE");
    const exact = JSON.stringify(GOOD).padEnd(64 * 1024, " ");
    expect((await service.post(exact)).status).toBe(202);
    expect(await refusal(await service.post(`${exact} `))).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect(await refusal(await service.post(Bun.gzipSync(`${exact} `), { "content-encoding": "gzip" }))).toEqual([
      413,
      "PAYLOAD_TOO_LARGE",
    ]);
  });

  test("as soon as it is too large, if it has no length", async () => {
    await using service = await startService({ settings });
    const { hostname, port } = new URL(service.url);
    const answer = await rawExchange(hostname, Number(port), (socket) => {
      // One byte over the limit, and no end of it in sight.
      socket.write(`${chunkedHead(service)}${CHUNK}1\r\nx\r\n`);
    });
    expect(answer.text).toStartWith("HTTP/1.1 413 ");
    expect(answer.text).toContain("PAYLOAD_TOO_LARGE");
  });

  test("or cut off, without being held, if the client just goes on", async () => {
    await using service = await startService({ settings });
    const { hostname, port } = new URL(service.url);
    const before = peakMemory(service);
    const answer = await rawExchange(hostname, Number(port), (socket, isOver) => {
      socket.write(chunkedHead(service));
      const more = () => {
        while (!isOver() && socket.bytesWritten < 512 * MIB) if (!socket.write(CHUNK)) return;
      };
      socket.on("drain", more);
      more();
    });
    // Who does not listen may lose the answer to the reset that stops him.
    if (answer.text !== "") expect(answer.text).toStartWith("HTTP/1.1 413 ");
    expect(answer.bytesSent).toBeLessThan(64 * MIB);
    expect(peakMemory(service) - before).toBeLessThan(64 * MIB);
    expect((await service.fetch("/health/ready")).status).toBe(200);
  });

  test("without being unpacked, if it is a bomb", async () => {
    await using service = await startService();
    const bomb = Bun.gzipSync(new Uint8Array(512 * MIB), { level: 9 });
    const before = peakMemory(service);
    const response = await service.post(bomb, { "content-encoding": "gzip" });
    expect(await refusal(response)).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect(peakMemory(service) - before).toBeLessThan(96 * MIB);
    await expectNoJob(service);
  });
});

/** 64 KiB of a body of unknown length. */
const CHUNK = `10000\r\n${" ".repeat(65536)}\r\n`;

function chunkedHead({ url }: Service): string {
  const { host } = new URL(url);
  return `POST /jobs HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
}

/** The most memory that the service ever held, in bytes. */
function peakMemory({ pid }: Service): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Writes by hand, and reads until the other side closes or has answered. */
function rawExchange(
  host: string,
  port: number,
  talk: (socket: ReturnType<typeof connect>, isOver: () => boolean) => void,
): Promise<{ text: string; bytesSent: number }> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, host);
    const end = () => {
      socket.destroy();
      resolve({ text, bytesSent: socket.bytesWritten });
    };
    socket.on("connect", () => talk(socket, () => text !== "" || socket.destroyed));
    socket.on("data", (data) => {
      text += data.toString();
      // The shape of an error ends so.
      if (text.endsWith("}")) end();
    });
    socket.on("error", end);
    socket.on("close", end);
  });
}

test("a full queue is answered with 429, and takes jobs again once there is room", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.max_pending_tasks": 3 } });
  const held = origin.hold("/held", Buffer.from("x"));
  const manifestOf = (count: number) => ({
    manifest_version: "v1",
    resources: Array.from({ length: count }, (_, index) => ({ id: `${index}`, url: held.url })),
  });
  const jobs = [await service.submit(manifestOf(2)), await service.submit(manifestOf(1))];
  const full = await service.post(manifestOf(1));
  expect(full.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  expect(await refusal(full)).toEqual([429, "QUEUE_FULL"]);
  expect((await LOCAL.keys(service, ["manifests/"])).length).toBe(2);
  held.release();
  for (const jobId of jobs) await service.finished(jobId);
  expect((await service.post(manifestOf(3))).status).toBe(202);
});

test("a manifest that no queue could take is told so", async () => {
  await using service = await startService({ settings: { "queue.max_pending_tasks": 1 } });
  const resources = ["a", "b"].map((id) => ({ id, url: "http://127.0.0.1:9/x" }));
  const response = await service.post({ manifest_version: "v1", resources });
  expect([response.status, response.headers.get("retry-after")]).toEqual([429, "10"]);
  expect(await errorOf(response)).toMatchObject({
    code: "QUEUE_FULL",
    message: "the job has more tasks than the queue ever holds (queue.max_pending_tasks is 1); split the manifest",
  });
  expect(await LOCAL.keys(service, ["manifests/"])).toEqual([]);
});

test("a storage that cannot be reached is answered with 503, and readiness says so", async () => {
  await using service = await startService({
    settings: { "storage.backend": "s3", "storage.endpoint": "http://127.0.0.1:1" },
    env: { S3_ACCESS_KEY_ID: "nobody", S3_SECRET_ACCESS_KEY: "secret-0123456789" },
  });
  const response = await service.post(GOOD);
  expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  expect(await refusal(response)).toEqual([503, "STORAGE_UNAVAILABLE"]);
  expect(await service.get("/operators/jobs")).toEqual({ jobs: [], next_cursor: null });

  const ready = await service.fetch("/health/ready");
  expect(ready.status).toBe(503);
  expect((await errorOf(ready)).details.map(({ path }) => path)).toEqual(["/components/storage"]);
  const health = await service.fetch("/operators/health");
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ status: "unhealthy", components: { storage: { status: "unhealthy" } } });
  expect((await service.fetch("/health/live")).status).toBe(200);
  expect(service.log).not.toContain("secret-0123456789");
});
