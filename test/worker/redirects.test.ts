import { describe, expect, test } from "bun:test";
import { startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";

const to = (location: string, status = 302) => `/redirect/${status}/${encodeURIComponent(location)}`;

test.each([301, 302, 303, 307, 308])("a %d is followed, with a GET", async (status) => {
  await using rig = await startRig();
  const result = await rig.stored(to("/ok", status));
  expect(result).toMatchObject({ finalUrl: rig.url("/ok"), httpStatus: 200 });
  expect(await rig.text()).toBe(BODY);
  expect(rig.origin.requests.map(({ method }) => method)).toEqual(["GET", "GET"]);
});

test.each([
  ["../ok", "/redirect/ok"],
  ["/ok?a=%20b#part", "/ok?a=%20b"],
  ["?x", `${to("?x")}?x`],
  ["/ok/\u00fc", "/ok/%C3%BC"],
])("a location %s is read from where it was given, as browsers read it", async (location, target) => {
  await using rig = await startRig();
  await rig.run(to(location));
  expect(rig.origin.requests[1]?.target).toBe(target);
});

test.each([
  ["//origin.test:PORT/ok", "origin.test:PORT"],
  ["http://other.test:PORT/ok", "other.test:PORT"],
])("a location %s leads to %s", async (location, host) => {
  await using rig = await startRig();
  await rig.stored(to(location.replace("PORT", String(rig.origin.port))));
  expect(rig.origin.requests[1]?.header("host")).toBe(host.replace("PORT", String(rig.origin.port)));
});

describe("a location", () => {
  const redirect = (...locations: string[]) =>
    `/kept/${encodeURIComponent(`HTTP/1.1 302 Found\r\n${locations.map((each) => `Location: ${each}\r\n`).join("")}Content-Length: 0\r\n\r\n`)}`;

  test.each([
    ["twice", ["/ok", "/ok"]],
    ["three times, with more around it", ["/ok", " /ok\t", "\u0001/ok"]],
  ] as const)("that is given %s is one", async (_, locations) => {
    await using rig = await startRig();
    expect(await rig.stored(redirect(...locations))).toMatchObject({ finalUrl: rig.url("/ok") });
    expect(rig.origin.requests.length).toBe(2);
  });

  test.each([
    ["/ok", "/empty"],
    ["/ok", "/ok?"],
    ["/ok", ""],
    ["", "/ok"],
  ])("that is %p and %p leads nowhere", async (first, second) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(redirect(first, second));
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_HTTP_302", "permanent"]);
    expect(attempt).toMatchObject({ httpStatus: 302, address: "127.0.0.1" });
    expect(rig.origin.requests.length).toBe(1);
  });

  test.each([
    ["/ok/\u00fc", "/ok/%FC"],
    ["/ok/\u00c3\u00bc", "/ok/%C3%BC"],
    ["/ok/\u0080\u00ff?\u00e4=\u00a0", "/ok/%80%FF?%E4=%A0"],
    ["/ok/%fc\u00fc", "/ok/%fc%FC"],
  ])("with bytes above ASCII (%j) is asked for as it came: %s", async (location, target) => {
    await using rig = await startRig();
    const result = await rig.stored(redirect(location));
    expect(rig.origin.requests[1]?.target).toBe(target);
    expect(result.finalUrl).toBe(rig.url(target));
  });
});

describe("a host that first wants its cookie back", () => {
  test("gets it, on the way of each attempt", async () => {
    await using rig = await startRig();
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await rig.stored("/cookie-wall")).toMatchObject({ finalUrl: rig.url("/cookie-wall"), httpStatus: 200 });
      expect(await rig.text()).toBe(BODY);
    }
    const cookies = rig.origin.requests.map((request) => request.header("cookie"));
    expect(cookies).toEqual([undefined, "seen=1", undefined, "seen=1"]);
  });

  test("gets it beside the client's own", async () => {
    await using rig = await startRig();
    await rig.stored("/cookie-wall", { headers: { Cookie: "a=b" } });
    expect(rig.origin.requests.map((request) => request.header("cookie"))).toEqual(["a=b", "a=b; seen=1"]);
  });

  test("gets it also when the way leads over another host, which does not", async () => {
    await using rig = await startRig();
    const { port } = rig.origin;
    const back = `http://other.test:${port}${to(`http://origin.test:${port}/ok`)}`;
    const wall = `HTTP/1.1 302 Found\r\nSet-Cookie: seen=1; Path=/\r\nLocation: ${back}\r\nContent-Length: 0\r\n\r\n`;
    await rig.stored(`http://origin.test:${port}/kept/${encodeURIComponent(wall)}`);
    expect(rig.origin.requests.map((request) => request.header("cookie"))).toEqual([undefined, undefined, "seen=1"]);
  });
});

test("as many redirects as are allowed are followed, and not one more", async () => {
  await using rig = await startRig({ maxRedirects: 2 });
  await rig.stored(to(to("/ok")));
  const { failure } = await rig.failed(to(to(to("/ok"))));
  expect(failure.code).toBe("DOWNLOAD_TOO_MANY_REDIRECTS");
  await using strict = await startRig({ maxRedirects: 0 });
  expect((await strict.failed(to("/ok"))).failure.code).toBe("DOWNLOAD_TOO_MANY_REDIRECTS");
  expect(strict.origin.requests.length).toBe(1);
});

test.each([
  "file:///etc/passwd",
  "data:text/plain,hello",
  "blob:http://a/b",
  "ftp://a/b",
  "s3://bucket/key",
  "javascript:1",
  "FILE:///etc/passwd",
])("a redirect to %s is refused", async (location) => {
  await using rig = await startRig();
  const { failure, attempt } = await rig.failed(to(location));
  expect(failure).toMatchObject({ code: "DOWNLOAD_URL_NOT_ALLOWED", class: "permanent" });
  expect(attempt).toMatchObject({ httpStatus: 302, address: "127.0.0.1" });
  expect(await rig.files()).toEqual([]);
});

describe("the headers for the next origin", () => {
  const headers = {
    Authorization: "Bearer token",
    Cookie: "a=b",
    "X-Api-Key": "key",
    Referer: "http://a/",
    "X-Custom": "c",
    "User-Agent": "mine",
    "Accept-Language": "de",
  };
  const named = (origin: { requests: { headers: readonly (readonly [string, string])[] }[] }, index: number) =>
    (origin.requests[index]?.headers ?? []).map(([name]) => name.toLowerCase()).toSorted();

  test("is all, where it is the same", async () => {
    await using rig = await startRig();
    await rig.stored(to("/ok"), { headers });
    expect(named(rig.origin, 1)).toEqual(named(rig.origin, 0));
    expect(named(rig.origin, 1)).toContain("authorization");
  });

  test.each(["http://other.test:PORT", "http://127.0.0.1:OTHER"])(
    "is neither credentials nor anything of the client's own at %s",
    async (place) => {
      using other = startFaultOrigin(MISBEHAVIOURS);
      await using rig = await startRig();
      const url = place.replace("PORT", String(rig.origin.port)).replace("OTHER", String(other.port));
      await rig.stored(to(`${url}/ok`), { headers });
      const [origin, index] = place.includes("OTHER") ? [other, 0] : [rig.origin, 1];
      expect(named(origin, index)).toEqual([
        "accept",
        "accept-encoding",
        "accept-language",
        "host",
        "traceparent",
        "user-agent",
      ]);
      expect(origin.requests[index]?.header("user-agent")).toBe("mine");
      expect(origin.requests[index]?.header("accept-encoding")).toBe("identity");
    },
  );

  test("stays forgotten on the way back", async () => {
    await using rig = await startRig();
    const { port } = rig.origin;
    await rig.stored(to(`http://other.test:${port}${to(`http://127.0.0.1:${port}/ok`)}`), { headers });
    expect(rig.origin.requests.length).toBe(3);
    expect(rig.origin.requests[2]?.header("host")).toBe(`127.0.0.1:${port}`);
    expect(rig.origin.requests[2]?.header("authorization")).toBeUndefined();
    expect(rig.origin.requests[2]?.header("x-api-key")).toBeUndefined();
  });

  test("is the URL's userinfo at the same origin, however the location is written", async () => {
    await using rig = await startRig();
    const { port } = rig.origin;
    for (const location of ["/ok", `http://origin.test:${port}/ok`]) {
      const result = await rig.stored(`http://user:secret@origin.test:${port}${to(location)}`);
      expect(rig.origin.requests.at(-1)?.header("authorization")).toBe(`Basic ${btoa("user:secret")}`);
      expect(result.finalUrl).toBe(`http://origin.test:${port}/ok`);
    }
  });

  test("is never the first URL's userinfo elsewhere, but that of the location", async () => {
    await using rig = await startRig();
    const { port } = rig.origin;
    await rig.stored(`http://user:secret@origin.test:${port}${to(`http://other.test:${port}/ok`)}`);
    expect(rig.origin.requests[1]?.header("authorization")).toBeUndefined();
    await rig.stored(`http://user:secret@origin.test:${port}${to(`http://a:b@other.test:${port}/ok`)}`);
    expect(rig.origin.requests[3]?.header("authorization")).toBe(`Basic ${btoa("a:b")}`);
  });
});

test("the record of an attempt that fails behind a redirect shows the last hop alone", async () => {
  await using rig = await startRig({ names: { "gone.test": [] } });
  const { failure, attempt } = await rig.failed(to("http://gone.test/"));
  expect(failure.code).toBe("DOWNLOAD_DNS_NOT_FOUND");
  expect(attempt.address).toBeUndefined();
  expect(attempt.httpStatus).toBeUndefined();
  const reset = await rig.failed(to("/reset-at-once"));
  expect(reset.failure.code).toBe("DOWNLOAD_RESET");
  expect(reset.attempt.httpStatus).toBeUndefined();
});
