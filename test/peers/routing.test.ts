import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { request as httpRequest } from "node:http";
import { type ErrorBody, textsOf } from "../support/answers.ts";
import { askExactly } from "../support/ask-exactly.ts";
import { eventually } from "../support/eventually.ts";
import { type Echo, FakeInstance, type SeenRequest } from "../support/fake-instance.ts";
import { freePort, type Peer } from "../support/peers.ts";
import { findRouters, ROUTERS, type Routers } from "../support/routers.ts";

/** The shipped configurations of nginx and HAProxy, before servers that show the requests that reach them. */

setDefaultTimeout(60_000);

const found = findRouters();
if ("reason" in found) console.warn(`the tests of the routers are left out: ${found.reason}`);
const isHere = !("reason" in found);
const routers = found as Routers;

const NUMBERS = [0, 1, 0xab];
const KEY = "x-fetchbox-idempotency-key";

/** A job id of an instance. */
function jobOf(instance: number): string {
  return `019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f${instance.toString(16).padStart(2, "0")}`;
}

/** Paths that a router and an instance could read differently: each is an endpoint for one of the two. */
const NOT_PLAIN: readonly (readonly [string, string])[] = [
  ["POST", "/./jobs"],
  ["POST", "/x/../jobs"],
  ["POST", "/%2e/jobs"],
  ["POST", "/x/%2E%2e/jobs"],
  ["POST", "/x/.%2E/jobs"],
  ["POST", "//jobs"],
  ["POST", "/%6aobs"],
  ["POST", "/j%4Fbs"],
  ["POST", "/x\\..\\jobs"],
  ["POST", "/.\\jobs"],
  ["POST", "/x%2f..%2Fjobs"],
  ["POST", "/x/..%5cjobs"],
  ["POST", "http://localhost/./jobs"],
  ["POST", "/instances/1/../../jobs"],
  ["GET", "/./operators/dlq"],
  ["GET", "/operators/./dlq"],
  ["GET", "/operators\\dlq"],
  ["GET", "/operators/%64lq"],
  ["GET", "/./metrics"],
  ["GET", "/health/./live"],
  ["GET", `/operators/jobs/${jobOf(0)}/../${jobOf(1)}`],
  ["GET", `/operators/jobs/${jobOf(0)}\\..\\${jobOf(1)}`],
  ["GET", `/operators/jobs/${jobOf(0).replace(/^0/, "%30")}`],
  ["GET", "/swagger/.."],
  ["GET", "/swagger/.?a=1"],
];

type Target = number | "any";
const TO_INSTANCE: readonly (readonly [string, string, Target, string?])[] = [
  ...NUMBERS.flatMap((number) => [
    ["GET", `/operators/jobs/${jobOf(number)}`, number] as const,
    ["HEAD", `/operators/jobs/${jobOf(number)}`, number] as const,
    ["GET", `/operators/jobs/${jobOf(number)}/resources?state=failed&limit=10`, number] as const,
    ["GET", `/operators/jobs/${jobOf(number)}/logs`, number] as const,
    ["GET", `/operators/jobs/${jobOf(number)}/manifest`, number] as const,
    ["POST", `/operators/jobs/${jobOf(number)}/cancel`, number] as const,
    [
      "GET",
      `/instances/${number}/operators/jobs?limit=5&cursor=a%2Bb`,
      number,
      "/operators/jobs?limit=5&cursor=a%2Bb",
    ] as const,
    ["GET", `/instances/${number}/operators/dlq/12`, number, "/operators/dlq/12"] as const,
    ["DELETE", `/instances/${number}/operators/dlq/12`, number, "/operators/dlq/12"] as const,
    ["POST", `/instances/${number}/operators/dlq/replay`, number, "/operators/dlq/replay"] as const,
    ["POST", `/instances/${number}/operators/queue/pause`, number, "/operators/queue/pause"] as const,
    ["GET", `/instances/${number}/operators/health`, number, "/operators/health"] as const,
    ["GET", `/instances/${number}/health/live`, number, "/health/live"] as const,
    ["GET", `/instances/${number}/metrics`, number, "/metrics"] as const,
    ["POST", `/instances/${number}/jobs`, number, "/jobs"] as const,
  ]),
  ["GET", `/operators/jobs/${jobOf(0xab).toUpperCase()}`, 0xab],
  ["GET", `/operators/jobs/${jobOf(0xab).replace(/ab$/, "aB")}/logs`, 0xab],
  ["POST", "/jobs", "any"],
  ["GET", "/jobs", "any"],
  ["GET", "/operators/jobs/not-a-uuid", "any"],
  ["GET", `/operators/jobs/${jobOf(0)}0`, "any"],
  ["GET", "/operators/jobs/", "any"],
  ["GET", "/swagger", "any"],
  ["GET", "/swagger/json", "any"],
  ["GET", "/nowhere?a=1", "any"],
  ["GET", "/swagger?a=/../b//c%2e\\d", "any"],
  ["GET", "/operators/jobs/an%20id", "any"],
  ["GET", "/.well-known/..x/x./a..b", "any"],
];

const REFUSED: readonly (readonly [string, string, string, RegExp])[] = [
  ["GET", `/operators/jobs/${jobOf(2)}`, "JOB_NOT_FOUND", /server\.instance/],
  ["POST", `/operators/jobs/${jobOf(255)}/cancel`, "JOB_NOT_FOUND", /server\.instance/],
  ["GET", "/instances/2/operators/jobs", "NOT_FOUND", /no instance with this number/],
  ["GET", "/instances/01/operators/jobs", "NOT_FOUND", /no instance with this number/],
  ["GET", "/instances/ab/operators/jobs", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/operators/jobs", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/operators/jobs?status=failed", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/operators/dlq", "NOT_FOUND", /put \/instances\/N/],
  ["DELETE", "/operators/dlq/12", "NOT_FOUND", /put \/instances\/N/],
  ["POST", "/operators/dlq/replay", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/operators/queue", "NOT_FOUND", /put \/instances\/N/],
  ["POST", "/operators/queue/pause", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/operators/health", "NOT_FOUND", /put \/instances\/N/],
  ["GET", "/metrics", "NOT_FOUND", /put \/instances\/N/],
];

describe.if(isHere).each([...ROUTERS])("%s", (name) => {
  const instances: FakeInstance[] = [];
  const seen: SeenRequest[] = [];
  let router: Peer;
  const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
    fetch(`http://127.0.0.1:${router.port}${path}`, {
      method,
      headers,
      proxy: false,
      ...(body !== undefined && { body }),
    } as RequestInit);
  const echoOf = async (response: Response) => {
    expect(response.status).toBe(200);
    return (await response.json()) as Echo;
  };
  const errorOf = async (response: Response, status: number) => {
    const error = (await response.json()) as ErrorBody;
    expect([response.status, response.headers.get("content-type")]).toEqual([status, "application/json"]);
    expect(error).toEqual({
      code: expect.any(String),
      message: expect.any(String),
      request_id: expect.any(String),
      details: [],
    });
    expect(response.headers.get("x-request-id")).toBe(error.request_id);
    return error;
  };
  const submit = async (key: string, headers: Record<string, string> = {}) =>
    (await echoOf(await ask("POST", "/jobs", { [KEY]: key, ...headers }, "{}"))).instance;
  const [first, second] = [() => instances[0] as FakeInstance, () => instances[1] as FakeInstance];

  /** Waits until submissions without a key reach these instances. */
  const submissionsReach = (numbers: readonly number[]) => {
    const missing = new Set(numbers);
    return eventually(`submissions reach ${numbers.join(", ")}`, async () => {
      const response = await ask("POST", "/jobs", {}, "{}");
      if (response.ok) missing.delete(((await response.json()) as Echo).instance);
      return missing.size === 0 || undefined;
    });
  };

  beforeAll(async () => {
    for (const number of NUMBERS) instances.push(new FakeInstance(number, await freePort(), seen));
    for (const instance of instances) await instance.start();
    router = await routers.start(
      name,
      instances.map(({ port }) => port),
      0xab,
    );
    await eventually("every instance is ready", async () => (await ask("GET", "/health/ready")).ok || undefined);
  });
  afterAll(async () => {
    await router[Symbol.asyncDispose]();
    for (const instance of instances) await instance.stop();
  });

  afterEach(() => {
    for (const instance of instances) instance.answer = undefined;
  });

  test.each(TO_INSTANCE)("%s %s goes to %p", async (method, path, target, url = path) => {
    const before = seen.length;
    const response = await ask(method, path);
    await response.text();
    expect([response.status, seen.length]).toEqual([200, before + 1]);
    const { instance, ...arrived } = seen[before] as SeenRequest;
    expect(arrived).toMatchObject({ method, url });
    if (target !== "any") expect(instance).toBe(target);
  });

  test.each(REFUSED)("%s %s is refused", async (method, path, code, message) => {
    const before = seen.length;
    const error = await errorOf(await ask(method, path), 404);
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(seen.length).toBe(before);
  });

  test.each(NOT_PLAIN)("%s %s is refused, because it has two readings", async (method, path) => {
    const before = seen.length;
    const { status, head, body } = await askExactly(router.port, method, path);
    expect([status, seen.length]).toEqual([404, before]);
    const error = JSON.parse(body) as ErrorBody;
    expect([error.code, error.message]).toEqual(["NOT_FOUND", expect.stringMatching(/not in its plain form/)]);
    expect(head).toContain(`x-request-id: ${error.request_id}`);
  });

  test("paths that are internal to a router are no endpoints", async () => {
    for (const path of ["submit-to-any", "submit-by-key", "is-ready"]) {
      const before = seen.length;
      const response = await ask("GET", `/fetchbox-router/${path}`);
      // HAProxy has no such paths, so an instance answers.
      if (name === "haproxy") expect((await echoOf(response)).url).toBe(`/fetchbox-router/${path}`);
      else expect([(await errorOf(response, 404)).code, seen.length]).toEqual(["NOT_FOUND", before]);
    }
  });

  test("a key belongs to one instance, by either name of its header and with the default tenant", async () => {
    const byInstance = new Map<number, number>();
    let moved = 0;
    for (let i = 0; i < 60; i++) {
      const key = `order,${i}"\\{}`;
      const instance = await submit(key);
      byInstance.set(instance, (byInstance.get(instance) ?? 0) + 1);
      const others: Record<string, string>[] = [
        { "x-fetchbox-tenant": "default" },
        { "idempotency-key": key, "x-fetchbox-tenant": "default" },
      ];
      for (const headers of others) expect(await submit(key, headers)).toBe(instance);
      const standard = await ask("POST", "/jobs", { "idempotency-key": key }, "{}");
      expect((await echoOf(standard)).instance).toBe(instance);
      if ((await submit(key, { "x-fetchbox-tenant": "other" })) !== instance) moved++;
    }
    for (const number of NUMBERS) expect(byInstance.get(number) ?? 0).toBeGreaterThan(5);
    expect(moved).toBeGreaterThan(10);
  });

  test("a request and its answer pass unchanged", async () => {
    const sent = {
      host: "fetchbox.example.com:8443",
      authorization: "Bearer of-a-token-long-enough",
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "x-request-id": "client-1",
      "content-encoding": "gzip",
      "x-fetchbox-job-type": "gallery",
    };
    const response = await ask("POST", `/jobs`, sent, "body");
    expect(response.headers.get("location")).toBe("/operators/dlq/operations/7");
    const echo = await echoOf(response);
    expect(echo.headers).toMatchObject(sent);
    expect(echo.body).toBe("body");
    // Without an id of the client, the router's id is in its own log and the instance's.
    const { headers } = await echoOf(await ask("GET", "/swagger"));
    expect(headers["x-request-id"]).toMatch(/^[!-~]{16,128}$/);
  });

  test("the router's errors carry the client's request id unless it would break JSON", async () => {
    expect((await errorOf(await ask("GET", "/metrics", { "x-request-id": "mine-1" }), 404)).request_id).toBe("mine-1");
    expect((await errorOf(await ask("GET", "/metrics", { "x-request-id": 'a"b' }), 404)).request_id).not.toBe('a"b');
  });

  test("the location of an operation of one instance keeps the prefix", async () => {
    const response = await ask("POST", "/instances/1/operators/dlq/replay");
    expect(response.headers.get("location")).toBe("/instances/1/operators/dlq/operations/7");
  });

  test("an event stream arrives event by event", async () => {
    const wanted = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    first().answer = async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("id: 0\n\n");
      await wanted[0]?.promise;
      response.write("id: 1\n\n");
      await wanted[1]?.promise;
      response.end("event: end\n\n");
    };
    const response = await ask("GET", `/operators/jobs/${jobOf(0)}/logs`, { accept: "text/event-stream" });
    const texts = textsOf(response);
    expect((await texts.next()).value).toBe("id: 0\n\n");
    wanted[0]?.resolve();
    expect((await texts.next()).value).toBe("id: 1\n\n");
    wanted[1]?.resolve();
    expect((await texts.next()).value).toBe("event: end\n\n");
  });

  test("a body goes to the instance as it arrives", async () => {
    const half = Promise.withResolvers<string>();
    first().answer = (request, response) => {
      request.once("data", (chunk: Buffer) => half.resolve(chunk.toString()));
      request.on("end", () => response.end("done"));
    };
    const answered = Promise.withResolvers<number | undefined>();
    const path = "/instances/0/jobs";
    const options = { method: "POST", path, port: router.port, host: "127.0.0.1", headers: { "content-length": 8 } };
    const upload = httpRequest(options, (response) => answered.resolve(response.resume().statusCode));
    upload.on("error", answered.reject);
    upload.write("half");
    expect(await half.promise).toBe("half");
    upload.end("more");
    expect(await answered.promise).toBe(200);
  });

  test("a submission that an instance may have received goes to no other one", async () => {
    for (const instance of instances) instance.answer = (request) => void request.socket.destroy();
    const before = seen.length;
    const options = { method: "POST", body: "{}", keepalive: false, proxy: false } as RequestInit;
    const response = await fetch(`http://127.0.0.1:${router.port}/jobs`, options);
    expect((await errorOf(response, 502)).code).toBe("INSTANCE_FAILED");
    expect(response.headers.get("retry-after")).toBe("5");
    expect(seen.length).toBe(before + 1);
    // HAProxy only closes a connection that had an earlier request.
    await ask("GET", "/health/live");
    const again = await ask("POST", "/jobs", {}, "{}").catch(() => undefined);
    expect([502, undefined]).toContain(again?.status);
    expect(seen.length).toBe(before + 2);
    for (const instance of instances) instance.answer = undefined;
    await submissionsReach(NUMBERS);
  });

  test("while an instance is away, its keys and jobs fail, and other submissions go elsewhere", async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `away-${i}`);
    const homes = new Map<string, number>();
    for (const key of keys) homes.set(key, await submit(key));
    await second().stop();
    // HAProxy must keep the keys also when its checks have failed.
    if (name === "haproxy")
      await eventually("the checks fail", () => router.log().includes("fetchbox_any/instance_1 is DOWN") || undefined);
    for (const [key, home] of homes) {
      const response = await ask("POST", "/jobs", { [KEY]: key }, "{}");
      if (home !== 1) {
        expect((await echoOf(response)).instance).toBe(home);
        continue;
      }
      expect(response.headers.get("retry-after")).toBe("5");
      expect((await errorOf(response, 503)).code).toBe("INSTANCE_UNAVAILABLE");
    }
    for (const path of [`/operators/jobs/${jobOf(1)}`, "/instances/1/operators/dlq"])
      expect((await errorOf(await ask("GET", path), 503)).code).toBe("INSTANCE_UNAVAILABLE");
    for (let i = 0; i < 20; i++) expect((await echoOf(await ask("POST", "/jobs", {}, "{}"))).instance).not.toBe(1);
    expect((await ask("GET", "/health/ready")).status).toBe(200);
    await second().start();
    for (const [key, home] of homes) expect(await submit(key)).toBe(home);
  });

  test.each([
    ["is not ready", false],
    ["does not answer checks", undefined],
  ] as const)("an instance that %s gets no submission without a key", async (_name, isReady) => {
    second().isReady = isReady;
    await eventually("thirty in a row go elsewhere", async () => {
      for (let i = 0; i < 30; i++) {
        if ((await echoOf(await ask("POST", "/jobs", {}, "{}"))).instance === 1) return undefined;
      }
      return true;
    });
    expect((await ask("GET", "/health/ready")).status).toBe(200);
    second().isReady = true;
    await submissionsReach([1]);
  });

  test("without any instance the router lives and is not ready", async () => {
    for (const instance of instances) await instance.stop();
    for (const [method, path] of [
      ["POST", "/jobs"],
      ["GET", "/health/ready"],
      ["GET", "/swagger"],
    ] as const) {
      const response = await ask(method, path);
      expect(response.headers.get("retry-after")).toBe("5");
      expect((await errorOf(response, 503)).code).toBe("INSTANCE_UNAVAILABLE");
    }
    const live = await ask("GET", "/health/live");
    expect([live.status, await live.json()]).toEqual([200, { status: "alive" }]);
  });
});
