import { expect, setDefaultTimeout, test } from "bun:test";
import { runBinary } from "../support/binary.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const OPEN = { "server.bind_addr": "0.0.0.0:0", "server.auth.mode": "none" };

async function statusBy(
  service: Service,
  host: string,
  init: RequestInit = {},
  path = "/operators/jobs",
): Promise<number> {
  const url = service.url.replace("0.0.0.0", "127.0.0.1") + path;
  return (await fetch(url, { ...init, headers: { host }, proxy: false } as RequestInit)).status;
}

test("an address that everybody reaches without tokens is no way in for a page whose name was made to resolve to it", async () => {
  await using service = await startService({ settings: OPEN });
  const port = new URL(service.url).port;
  for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1.evil.example"]) {
    expect([host, await statusBy(service, host)]).toEqual([host, 403]);
  }
  expect(await statusBy(service, `192.168.7.7:${port}`)).toBe(200);
  // A load balancer may ask by any name.
  for (const path of ["/health/live", "/health/ready"])
    expect(await statusBy(service, "any.example", {}, path)).toBe(200);
});

test("an open service answers to its public URL's name and to server.hosts", async () => {
  await using service = await startService({
    settings: { ...OPEN, "server.public_url": "https://fetch.example.com", "server.hosts": "fetchbox,box.internal" },
  });
  const port = new URL(service.url).port;
  expect(await statusBy(service, "x.fetch.example.com")).toBe(403);
  for (const host of [
    `127.0.0.1:${port}`,
    `192.168.7.7:${port}`,
    "[::1]",
    "localhost",
    "fetch.example.com",
    "fetchbox",
    `box.internal:${port}`,
  ]) {
    expect([host, await statusBy(service, host)]).toEqual([host, 200]);
  }
});

test("with tokens every name will do: a page has none to send", async () => {
  await using service = await startService({
    settings: { "server.bind_addr": "0.0.0.0:0" },
    env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:a-token-of-this-test" },
  });
  expect(await statusBy(service, "any.example")).toBe(401);
});

test.each([
  ["server.public_url", "fetch.example.com", "must be empty or a URL"],
  ["server.public_url", "https://me:canary@fetch.example.com", "must be empty or a URL"],
  ["server.public_url", "https://fetch.example.com/?canary", "must be empty or a URL"],
  ["server.hosts", "fetchbox:8080", "must be a host's name"],
  ["server.hosts", "*.example.com", "must be a host's name"],
])("%s = %p is refused", async (key, value, message) => {
  await using service = await prepareService({ settings: { ...OPEN, [key]: value } });
  const { code, stderr } = await runBinary(["config", "check"], { cwd: service.folder, env: service.env });
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  expect(stderr).not.toContain("canary");
});
