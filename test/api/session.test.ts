import { describe, expect, test } from "bun:test";
import type { AuthSettings } from "../../src/api/http/access.ts";
import { parseAccessToken, ROLES, type Role } from "../../src/config/values/access-token.ts";
import { FakeClock } from "../support/clock.ts";
import { startTestApi, type TestApi } from "./running-api.ts";

const SECRETS: Readonly<Record<Role, string>> = {
  operator: "OPERATOR-SECRET-OF-THIS-TEST",
  submit: "SUBMIT-SECRET-OF-THIS-TEST",
  read: "READ-SECRET-OF-THIS-TEST",
};
const TOKENS = [`operator/alice:${SECRETS.operator}`, `submit:${SECRETS.submit}`, `read:${SECRETS.read}`];
const HOUR_MS = 3_600_000;
const PATH = "/operators/session";

const auth = (tokens = TOKENS) => ({ mode: "token" as const, tokens: tokens.map(parseAccessToken) });

function signIn(api: TestApi, token: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return api.fetch(PATH, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ token }),
  });
}

/** The cookie of a new session, as a browser sends it. */
async function cookieOf(api: TestApi, token = SECRETS.operator): Promise<string> {
  const response = await signIn(api, token);
  expect(response.status).toBe(200);
  return (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

async function statusOf(api: TestApi, cookie: string, path = "/operators/health"): Promise<number> {
  return (await api.fetch(path, { headers: { cookie } })).status;
}

/** A request as a page of the service sends it. */
function own(cookie: string, method: string): RequestInit {
  return { method, headers: { cookie, "sec-fetch-site": "same-origin" } };
}

describe("a sign-in", () => {
  test("answers with the role and the end, and sets a cookie that scripts cannot read", async () => {
    await using api = await startTestApi({ auth: auth() });
    for (const role of ROLES) {
      const response = await signIn(api, SECRETS[role]);
      expect([response.status, await response.json()]).toEqual([
        200,
        { role, expires_at: new Date(api.now + 12 * HOUR_MS).toISOString() },
      ]);
      expect(response.headers.get("set-cookie")).toMatch(
        /^fetchbox_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/,
      );
    }
  });

  test("sets a cookie for https alone if the public URL is https", async () => {
    await using api = await startTestApi({ auth: auth(), publicOrigin: "https://fetch.example.com" });
    const cookie = (await signIn(api, SECRETS.read)).headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^__Host-fetchbox_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
    const [pair = ""] = cookie.split(";");
    expect(await statusOf(api, pair)).toBe(200);
    // A page of a neighbouring host could set the name without the prefix.
    expect(await statusOf(api, pair.replace("__Host-", ""))).toBe(401);
  });

  test("gives every session another id, and ends the one that it replaces", async () => {
    await using api = await startTestApi({ auth: auth() });
    const first = await cookieOf(api);
    const response = await signIn(api, SECRETS.read, { cookie: first, "sec-fetch-site": "same-origin" });
    const second = (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    expect(second).not.toBe(first);
    expect([await statusOf(api, first), await statusOf(api, second)]).toEqual([401, 200]);
  });

  test("with a wrong token is refused, counted and logged, without the token", async () => {
    await using api = await startTestApi({ auth: auth() });
    const response = await signIn(api, "GUESSED-SECRET-OF-THIS-TEST");
    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null]);
    expect(await response.text()).not.toContain("SECRET");
    expect(api.lines.find(({ msg }) => msg === "sign-in failed: the token is unknown")).toMatchObject({
      level: "warn",
      address: "127.0.0.1",
      method: "POST",
      route: PATH,
      reason: "unknown",
    });
    const metrics = await (await api.fetch("/metrics", { headers: { cookie: await cookieOf(api) } })).text();
    expect(metrics).toContain('fetchbox_auth_failures_total{reason="unknown"} 1\n');
  });

  test("waits after 5 misses within a minute, with the right token too", async () => {
    await using api = await startTestApi({ auth: auth() });
    for (let miss = 0; miss < 5; miss++) {
      expect((await signIn(api, "GUESSED-SECRET-OF-THIS-TEST")).status).toBe(401);
      api.now += 1000;
    }
    const refused = await signIn(api, SECRETS.operator);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "55"]);
    expect(await refused.json()).toMatchObject({ code: "RATE_LIMITED" });
    // A bearer token is no sign-in.
    const headers = { authorization: `Bearer ${SECRETS.operator}` };
    expect((await api.fetch("/operators/health", { headers })).status).toBe(200);
    api.now += 54_999;
    expect((await signIn(api, SECRETS.operator)).status).toBe(429);
    api.now += 1;
    expect((await signIn(api, SECRETS.operator)).status).toBe(200);
    expect((await signIn(api, "GUESSED-SECRET-OF-THIS-TEST")).status).toBe(401);
    expect((await signIn(api, SECRETS.operator)).status).toBe(429);
  });

  test("obeys the limit of requests for each client", async () => {
    await using api = await startTestApi({
      auth: auth(),
      limits: { maxPayloadBytes: 65_536, maxBodiesBytes: 131_072, requestsPerSecond: 2 },
    });
    const statuses = [];
    for (let at = 0; at < 3; at++) statuses.push((await signIn(api, SECRETS.operator)).status);
    expect(statuses).toEqual([200, 200, 429]);
  });

  test.each([
    ["{}", 400],
    ['{"token":1}', 400],
    ['{"token":""}', 400],
    [`{"token":"${"x".repeat(1025)}"}`, 400],
    ['{"token":"SECRET","role":"SECRET"}', 400],
    ['"SECRET"', 400],
    ["SECRET", 400],
    [`{"token":"${"x".repeat(9000)}"}`, 413],
  ])("with the body %p is refused, and not repeated", async (body, status) => {
    await using api = await startTestApi({ auth: auth() });
    const response = await api.fetch(PATH, { method: "POST", headers: { "content-type": "application/json" }, body });
    expect(response.status).toBe(status);
    expect(await response.text()).not.toContain("SECRET");
  });

  test.each([
    ["", "must have at least 1 character"],
    ["x".repeat(1025), "must have at most 1024 characters"],
  ])("with a token of a wrong length is refused with the rule", async (token, message) => {
    await using api = await startTestApi({ auth: auth() });
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) };
    expect((await api.error(PATH, 400, init)).details).toEqual([{ path: "/token", message }]);
  });

  test.each([
    [{ origin: "https://evil.example" }],
    [{ origin: "null" }],
    [{ "sec-fetch-site": "cross-site" }],
    [{ "sec-fetch-site": "same-site" }],
  ])("of a page of another origin is refused: %p", async (headers) => {
    await using api = await startTestApi({ auth: auth() });
    expect((await signIn(api, SECRETS.operator, headers as Record<string, string>)).status).toBe(403);
  });

  test("is possible while the service recovers", async () => {
    await using api = await startTestApi({ auth: auth(), starting: () => "recovering" });
    const cookie = await cookieOf(api);
    expect(await statusOf(api, cookie)).toBe(200);
    expect((await api.fetch("/operators/queue/pause", own(cookie, "POST"))).status).toBe(503);
    expect((await api.fetch(PATH, own(cookie, "DELETE"))).status).toBe(204);
  });
});

describe("the session", () => {
  const state = async (api: TestApi, headers: Record<string, string> = {}) =>
    (await api.fetch(PATH, { headers })).json();
  const instanceFor = async (api: TestApi, headers: Record<string, string> = {}) =>
    (await api.fetch(PATH, { headers })).headers.get("x-fetchbox-instance");

  test("shows whether a sign-in is needed, the rights of the sender, and the instance to a sender with rights", async () => {
    await using api = await startTestApi({ auth: auth() });
    expect(await state(api)).toEqual({ needed: true, role: null, expires_at: null });
    expect(await instanceFor(api)).toBeNull();
    for (const role of ROLES) {
      const cookie = await cookieOf(api, SECRETS[role]);
      expect(await state(api, { cookie })).toEqual({
        needed: true,
        role,
        expires_at: new Date(api.now + 12 * HOUR_MS).toISOString(),
      });
      const bearer = { authorization: `Bearer ${SECRETS[role]}` };
      expect(await state(api, bearer)).toEqual({ needed: true, role, expires_at: null });
      expect(await instanceFor(api, bearer)).toBe("prod-eu1");
    }
    // It is no place to try tokens without being counted.
    const guess = { authorization: "Bearer GUESSED-SECRET-OF-THIS-TEST" };
    expect((await api.fetch(PATH, { headers: guess })).status).toBe(401);
    // A proxy in front may have a sign-in of its own.
    expect(await state(api, { authorization: "Basic abc", cookie: await cookieOf(api) })).toMatchObject({
      role: "operator",
    });
    expect(await state(api, { authorization: "Basic abc" })).toMatchObject({ role: null });
  });

  test("names an instance of any name in a header", async () => {
    await using api = await startTestApi({ auth: { mode: "token", tokens: [] }, instance: "prüf 1/7" });
    expect(await instanceFor(api)).toBe("pr?f?1/7");
  });

  test("is not needed at an open service", async () => {
    for (const open of [{ mode: "token", tokens: [] } as const, { ...auth(), mode: "none" } as const]) {
      await using api = await startTestApi({ auth: open });
      expect(await state(api)).toEqual({ needed: false, role: "operator", expires_at: null });
      expect(await instanceFor(api)).toBe("prod-eu1");
      const response = await signIn(api, "any-token-of-this-test");
      expect([response.status, response.headers.get("set-cookie")]).toEqual([200, null]);
      expect(await response.json()).toEqual({ role: "operator", expires_at: null });
    }
  });

  test("ends at the sign-out, which removes the cookie", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    expect((await api.fetch(PATH, { method: "DELETE", headers: { cookie } })).status).toBe(403);
    const response = await api.fetch(PATH, own(cookie, "DELETE"));
    expect([response.status, response.headers.get("set-cookie")]).toEqual([
      204,
      "fetchbox_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
    ]);
    const ended = await api.error("/operators/health", 401, { headers: { cookie } });
    expect(ended.message).toBe("the session has ended; sign in again");
    expect((await api.fetch(PATH, own(cookie, "DELETE"))).status).toBe(204);
  });

  test("ends 12 hours after its last use", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    api.now += 12 * HOUR_MS - 1;
    expect(await statusOf(api, cookie)).toBe(200);
    api.now += 12 * HOUR_MS - 1;
    expect(await statusOf(api, cookie)).toBe(200);
    api.now += 12 * HOUR_MS;
    expect(await statusOf(api, cookie)).toBe(401);
  });

  test("ends after 7 days, although it is in use", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    const endsAt = api.now + 7 * 24 * HOUR_MS;
    while (api.now + 11 * HOUR_MS < endsAt) {
      api.now += 11 * HOUR_MS;
      expect(await statusOf(api, cookie)).toBe(200);
    }
    expect(await state(api, { cookie })).toMatchObject({ expires_at: new Date(endsAt).toISOString() });
    api.now = endsAt - 1;
    expect(await statusOf(api, cookie)).toBe(200);
    api.now = endsAt;
    expect(await statusOf(api, cookie)).toBe(401);
  });

  test("that was least recently used ends when there are more than 1000", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookies: string[] = [];
    for (let at = 0; at < 1000; at++) cookies.push(await cookieOf(api, SECRETS.read));
    const [first = "", second = "", third = ""] = cookies;
    expect(await statusOf(api, first)).toBe(200);
    const last = await cookieOf(api, SECRETS.read);
    expect(await statusOf(api, second)).toBe(401);
    for (const cookie of [first, third, cookies.at(-1) ?? "", last]) expect(await statusOf(api, cookie)).toBe(200);
  });

  test("of another token stays, however often one token signs in", async () => {
    await using api = await startTestApi({ auth: auth() });
    const alice = await cookieOf(api);
    for (let at = 0; at < 1001; at++) await cookieOf(api, SECRETS.read);
    expect(await statusOf(api, alice)).toBe(200);
  });

  test.each([
    ["is removed", [TOKENS[1], TOKENS[2]]],
    ["has another secret", ["operator/alice:ANOTHER-SECRET-OF-THIS-TEST", TOKENS[1], TOKENS[2]]],
    ["has another role", [`read/alice:${SECRETS.operator}`, TOKENS[1]]],
    ["has another name", [`operator/bob:${SECRETS.operator}`, TOKENS[1]]],
  ])("ends when its token %s; sessions of other tokens continue", async (_change, tokens) => {
    const settings = auth();
    await using api = await startTestApi({ auth: settings });
    const [alices, submits] = [await cookieOf(api), await cookieOf(api, SECRETS.submit)];
    settings.tokens = tokens.map((text) => parseAccessToken(text ?? ""));
    expect(await statusOf(api, alices)).toBe(401);
    expect(await statusOf(api, submits, "/operators/jobs")).toBe(200);
    settings.tokens = auth().tokens;
    expect(await statusOf(api, alices)).toBe(401);
  });

  test("continues when only other tokens change", async () => {
    const settings = auth();
    await using api = await startTestApi({ auth: settings });
    const cookie = await cookieOf(api);
    settings.tokens = auth(["read:A-NEW-SECRET-OF-THIS-TEST", ...TOKENS]).tokens;
    expect(await statusOf(api, cookie)).toBe(200);
  });

  test("is found among other cookies, and only by its whole id", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    for (const sent of [`a=b; ${cookie}; c=d`, `fetchbox_session=planted; ${cookie}`, `${cookie};fetchbox_session=`])
      expect([sent, await statusOf(api, sent)]).toEqual([sent, 200]);
    for (const sent of [
      cookie.slice(0, -1),
      `${cookie}x`,
      `${cookie}=`,
      `x${cookie}`,
      "fetchbox_session=",
      "fetchbox_session",
    ])
      expect([sent, await statusOf(api, sent)]).toEqual([sent, 401]);
  });

  test("is in no log line, and neither is its token", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    await api.fetch("/operators/queue/pause", own(cookie, "POST"));
    await api.fetch("/operators/queue/resume", { method: "POST", headers: { cookie } });
    await api.fetch(PATH, own(cookie, "DELETE"));
    await statusOf(api, cookie);
    const id = cookie.split("=")[1] ?? "";
    expect(api.lines.length).toBeGreaterThan(4);
    expect(JSON.stringify(api.lines)).not.toMatch(new RegExp(`SECRET|${id}|${Bun.SHA256.hash(id, "hex")}`));
    expect(api.lines.filter(({ token_name: name }) => name === "alice").map(({ route }) => route)).toEqual([
      PATH,
      "/operators/queue/pause",
      PATH,
    ]);
  });
});

describe("a session's cookie", () => {
  const JOB = "/operators/jobs/019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00";
  const ENDPOINTS = [
    ["GET", "/operators/jobs", ["operator", "submit", "read"]],
    ["GET", JOB, ["operator", "submit", "read"]],
    ["GET", `${JOB}/resources`, ["operator", "submit", "read"]],
    ["GET", `${JOB}/logs`, ["operator", "submit", "read"]],
    ["GET", "/operators/dlq", ["operator", "read"]],
    ["GET", "/operators/dlq/1", ["operator", "read"]],
    ["GET", "/operators/dlq/operations", ["operator", "read"]],
    ["GET", "/operators/queue", ["operator", "read"]],
    ["GET", "/operators/health", ["operator", "read"]],
    ["GET", "/operators/activity", ["operator", "read"]],
    ["GET", "/operators/config", ["operator"]],
    ["GET", "/metrics", ["operator", "read"]],
    ["GET", "/swagger", ["operator", "read"]],
    ["GET", "/swagger/json", ["operator", "read"]],
    ["POST", "/jobs", ["operator", "submit"]],
    ["POST", `${JOB}/cancel`, ["operator"]],
    ["POST", "/operators/dlq/replay", ["operator"]],
    ["POST", "/operators/dlq/give-up", ["operator"]],
    ["POST", "/operators/dlq/operations/1/stop", ["operator"]],
    ["DELETE", "/operators/dlq/1", ["operator"]],
    ["POST", "/operators/queue/pause", ["operator"]],
    ["POST", "/operators/queue/resume", ["operator"]],
  ] as const;

  test("has the rights of its token's role, as the bearer token has", async () => {
    await using api = await startTestApi({ auth: auth() });
    for (const role of ROLES) {
      const cookie = await cookieOf(api, SECRETS[role]);
      const headers = { authorization: `Bearer ${SECRETS[role]}` };
      for (const [method, path, roles] of ENDPOINTS) {
        const byCookie = await api.fetch(path, own(cookie, method));
        const byToken = await api.fetch(path, { method, headers });
        expect([role, method, path, byCookie.status]).toEqual([role, method, path, byToken.status]);
        const isAllowed = (roles as readonly Role[]).includes(role);
        expect([role, method, path, byCookie.status === 403]).toEqual([role, method, path, !isAllowed]);
      }
    }
  });

  test("has these rights at every endpoint of the OpenAPI document", async () => {
    await using api = await startTestApi({ auth: auth() });
    const bearer = (role: Role) => ({ authorization: `Bearer ${SECRETS[role]}` });
    const { paths } = (await (await api.fetch("/swagger/json", { headers: bearer("read") })).json()) as {
      paths: Record<string, Record<string, { description: string }>>;
    };
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { description }]) => ({
        path: path.replaceAll(/\{\w+\}/g, "1"),
        method: method.toUpperCase(),
        access: description.slice(description.lastIndexOf("Access: ")),
      })),
    );
    const restricted = operations.filter(({ access }) => !access.includes("open to everyone"));
    expect(restricted.length).toBeGreaterThanOrEqual(ENDPOINTS.length);
    for (const role of ROLES) {
      const cookie = await cookieOf(api, SECRETS[role]);
      for (const { path, method, access } of restricted) {
        const byCookie = await api.fetch(path, own(cookie, method));
        const byToken = await api.fetch(path, { method, headers: bearer(role) });
        expect([role, method, path, byCookie.status]).toEqual([role, method, path, byToken.status]);
        expect([role, method, path, byCookie.status !== 403]).toEqual([
          role,
          method,
          path,
          access.includes(`\`${role}\``),
        ]);
      }
    }
  });

  test("opens no endpoint without a session", async () => {
    await using api = await startTestApi({ auth: auth() });
    for (const [method, path] of ENDPOINTS) {
      const response = await api.fetch(path, own(`fetchbox_session=${"A".repeat(43)}`, method));
      expect([method, path, response.status]).toEqual([method, path, 401]);
    }
  });

  test("follows a log as an EventSource does", async () => {
    await using api = await startTestApi();
    const job = await api.submit(1);
    await using closed = await startTestApi({ auth: auth(), ledger: api.stores.ledger });
    const headers = { cookie: await cookieOf(closed, SECRETS.read), accept: "text/event-stream" };
    const response = await closed.fetch(`/operators/jobs/${job}/logs`, { headers });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    await response.body?.cancel();
  });

  test("counts for nothing beside a bearer token", async () => {
    await using api = await startTestApi({ auth: auth() });
    const cookie = await cookieOf(api);
    const by = async (token: string) =>
      (await api.fetch("/operators/queue/pause", { method: "POST", headers: { cookie, authorization: token } })).status;
    expect(await by(`Bearer ${SECRETS.operator}`)).toBe(200);
    expect(await by(`Bearer ${SECRETS.read}`)).toBe(403);
    expect(await by("Bearer GUESSED-SECRET-OF-THIS-TEST")).toBe(401);
    expect(await by("Bearer")).toBe(401);
  });

  const own127 = "the service's own";
  test.each([
    [{ "sec-fetch-site": "same-origin" }, 200],
    [{ "sec-fetch-site": "same-origin", origin: "https://evil.example" }, 200],
    [{ "sec-fetch-site": "same-site" }, 403],
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "none" }, 403],
    [{ "sec-fetch-site": "" }, 403],
    [{ "sec-fetch-site": "cross-site", origin: own127 }, 403],
    [{ origin: own127 }, 200],
    [{ origin: "https://fetch.example.com" }, 200],
    [{ origin: "http://fetch.example.com" }, 403],
    [{ origin: "https://fetch.example.com:8443" }, 403],
    [{ origin: "https://evil.example" }, 403],
    [{ origin: "http://127.0.0.1:1" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: "" }, 403],
    [{}, 403],
    [{ host: "box.internal:8080", origin: "http://box.internal:8080" }, 200],
    [{ host: "BOX.internal", origin: "http://box.internal" }, 200],
    [{ host: "box.internal", origin: "http://other.internal" }, 403],
  ] as [Record<string, string>, number][])(
    "changes the service only from its own page: %p gives %p",
    async (sent, status) => {
      for (const isPlain of [true, false]) {
        const publicOrigin = "https://fetch.example.com";
        await using api = await startTestApi({ auth: auth(), ...(!isPlain && { publicOrigin }) });
        const headers: Record<string, string> = { ...sent, cookie: await cookieOf(api) };
        if (headers["origin"] === own127) headers["origin"] = api.url;
        const expected = isPlain && sent["origin"] === publicOrigin ? 403 : status;
        for (const method of ["POST", "DELETE"]) {
          const path = method === "POST" ? "/operators/queue/pause" : PATH;
          const response = await api.fetch(path, { method, headers });
          const good = method === "POST" ? 200 : 204;
          expect([isPlain, method, response.status]).toEqual([isPlain, method, expected === 200 ? good : expected]);
        }
        // Reading needs no origin: other pages cannot read the answer.
        expect(
          (await api.fetch("/operators/health", { headers: { ...headers, cookie: await cookieOf(api) } })).status,
        ).toBe(200);
      }
    },
  );
});

interface OpenStream {
  readonly api: TestApi;
  readonly settings: AuthSettings;
  readonly clock: FakeClock;
  readonly headers: Readonly<Record<string, string>>;
}

/** Takes the right to read from whoever opened the stream. */
type Revoke = (stream: OpenStream) => unknown;

const signOut: Revoke = async ({ api, headers }) => {
  const init = { method: "DELETE", headers: { ...headers, "sec-fetch-site": "same-origin" } };
  expect((await api.fetch(PATH, init)).status).toBe(204);
};
const expire: Revoke = ({ clock }) => clock.tick(12 * HOUR_MS);
const removeToken: Revoke = ({ settings }) => {
  settings.tokens = auth(TOKENS.slice(1)).tokens;
};

describe("a stream of a log", () => {
  /** Follows a job without news until 15 s after `revoke`. Resolves to the end of the stream. */
  async function follow(isBearer: boolean, accept: string, revoke: Revoke): Promise<string> {
    const clock = new FakeClock();
    const settings: AuthSettings = { mode: "token", tokens: [] };
    const waits = Promise.withResolvers<void>();
    const after = (ms: number, action: () => void) => {
      if (ms === 15_000) waits.resolve();
      return clock.after(ms, action);
    };
    const { now, monotonic } = clock;
    await using api = await startTestApi({ auth: settings, clock: { now, monotonic, after } });
    const job = await api.submit(1);
    settings.tokens = auth().tokens;
    const headers: Readonly<Record<string, string>> = isBearer
      ? { authorization: `Bearer ${SECRETS.operator}` }
      : { cookie: await cookieOf(api) };
    const response = await api.fetch(`/operators/jobs/${job}/logs`, { headers: { ...headers, accept } });
    const end = endOf(response);
    await waits.promise;
    await revoke({ api, settings, clock, headers });
    await clock.advance(15_000);
    return await end;
  }

  /** Reads until a comment without rows comes, or the stream ends. */
  async function endOf({ body }: Response): Promise<"continues" | "complete" | "cut off"> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body ?? []) if (decoder.decode(chunk) === ": keep-alive\n\n") return "continues";
      return "complete";
    } catch {
      return "cut off";
    }
  }

  test.each<[string, boolean, Revoke]>([
    ["its session's sign-out", false, signOut],
    ["its session's end after 12 hours", false, expire],
    ["the removal of its session's token", false, removeToken],
    ["the removal of its token", true, removeToken],
  ])("does not outlive %s", async (_, isBearer, revoke) => {
    expect(await follow(isBearer, "application/x-ndjson", revoke)).toBe("cut off");
  });

  test.each([false, true])("continues while the right of its reader holds (bearer token: %p)", async (isBearer) => {
    expect(await follow(isBearer, "text/event-stream", () => {})).toBe("continues");
  });
});
