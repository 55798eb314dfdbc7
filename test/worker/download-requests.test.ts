import { describe, expect, test } from "bun:test";
import type { Task } from "../../src/jobs/task.ts";
import { startRig, TRACEPARENT } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";

/** The headers of a request that are ours to choose, by name. */
async function headersSent(url: (port: number) => string, task: Partial<Task> = {}) {
  await using rig = await startRig();
  await rig.stored(url(rig.origin.port), task);
  const [request] = rig.origin.requests;
  if (request === undefined) throw new Error("no request came");
  return { port: rig.origin.port, headers: Object.fromEntries(request.headers.map(([k, v]) => [k.toLowerCase(), v])) };
}

describe("a request", () => {
  test("names us, takes everything, and wants it as it is", async () => {
    const { headers, port } = await headersSent((origin) => `http://origin.test:${origin}/ok`);
    expect(headers).toEqual({
      accept: "*/*",
      "accept-encoding": "identity",
      host: `origin.test:${port}`,
      traceparent: TRACEPARENT,
      "user-agent": "FetchBox/test",
    });
  });

  test("carries the task's headers, in place of ours whatever their case", async () => {
    const { headers } = await headersSent((origin) => `http://origin.test:${origin}/ok`, {
      headers: { "user-AGENT": "mine", accept: "image/*", Referer: "http://a/", "X-Api-Key": "k\u00e9y" },
    });
    expect(headers).toMatchObject({
      "user-agent": "mine",
      accept: "image/*",
      referer: "http://a/",
      "x-api-key": "k\u00e9y",
    });
  });

  test.each([
    ["http://127.0.0.1:PORT/ok", "127.0.0.1:PORT"],
    ["http://ORIGIN.Test:PORT/ok", "origin.test:PORT"],
    ["http://b\u00fccher.test:PORT/ok", "xn--bcher-kva.test:PORT"],
    ["http://0x7f.1:PORT/ok", "127.0.0.1:PORT"],
    ["http://user:secret@origin.test:PORT/ok", "origin.test:PORT"],
  ])("to %s has the host %s", async (url, host) => {
    const { headers, port } = await headersSent((origin) => url.replace("PORT", String(origin)));
    expect(headers["host"]).toBe(host.replace("PORT", String(port)));
  });

  test("reaches an IPv6 literal", async () => {
    using origin = startFaultOrigin(MISBEHAVIOURS, { hostname: "::1" });
    await using rig = await startRig();
    const result = await rig.stored(`http://[::1]:${origin.port}/ok`);
    expect(origin.requests[0]?.header("host")).toBe(`[::1]:${origin.port}`);
    expect(result.finalUrl).toBe(`http://[::1]:${origin.port}/ok`);
  });

  test.each([
    ["/ok#part", "/ok"],
    ["/ok?", "/ok?"],
    ["/ok?a=b&c=%20%zz+|%E4&&=#x", "/ok?a=b&c=%20%zz+|%E4&&="],
    ["/ok?sig=a%2Fb%2fc/d==", "/ok?sig=a%2Fb%2fc/d=="],
    ["/ok/%41%2F%2e/;p=1", "/ok/%41%2F%2e/;p=1"],
    ["/ok/a/../b/%2E%2e/./c", "/ok/c"],
    ["/ok/\u00fc \u4e00", "/ok/%C3%BC%20%E4%B8%80"],
    ["/ok//double///", "/ok//double///"],
  ])("for %s asks for %s", async (path, target) => {
    await using rig = await startRig();
    await rig.stored(path);
    expect(rig.origin.requests[0]?.target).toBe(target);
    expect(rig.origin.requests[0]?.method).toBe("GET");
  });

  test.each([
    ["user:secret@", "user:secret"],
    ["user@", "user:"],
    [":secret@", ":secret"],
    ["us%40er:s%3Acret@", "us@er:s:cret"],
    ["us%er:100%@", "us%er:100%"],
    ["%C3%BC:x@", "\u00fc:x"],
  ])("with %s in the URL sends it as Basic authentication", async (userinfo, decoded) => {
    const { headers } = await headersSent((origin) => `http://${userinfo}origin.test:${origin}/ok`);
    expect(headers["authorization"]).toBe(`Basic ${Buffer.from(decoded).toString("base64")}`);
  });

  test("prefers the client's own authorization to that of the URL", async () => {
    const { headers } = await headersSent((origin) => `http://user:secret@origin.test:${origin}/ok`, {
      headers: { authorization: "Bearer token" },
    });
    expect(headers["authorization"]).toBe("Bearer token");
  });

  test("shows the URL without its secrets", async () => {
    await using rig = await startRig();
    const result = await rig.stored(`http://user:secret@origin.test:${rig.origin.port}/ok`);
    expect(result.finalUrl).toBe(`http://origin.test:${rig.origin.port}/ok`);
    const { failure, attempt } = await rig.failed(`http://user:secret@origin.test:${rig.origin.port}/garbage`);
    expect(JSON.stringify([failure.message, attempt])).not.toContain("secret");
  });
});

test("proxies of the environment are not used", async () => {
  using origin = startFaultOrigin(MISBEHAVIOURS);
  using foreign = startFaultOrigin(MISBEHAVIOURS);
  const proxy = `http://127.0.0.1:${foreign.port}`;
  const run = Bun.spawn([process.execPath, `${import.meta.dir}/fetch-once.ts`, `${origin.url}/ok`, "127.0.0.1"], {
    env: { HTTP_PROXY: proxy, http_proxy: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy },
    stderr: "inherit",
  });
  expect((await new Response(run.stdout).text()).trim()).toBe(`200 ${BODY}`);
  expect(foreign.connections.total).toBe(0);
});
