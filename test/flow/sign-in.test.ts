import { expect, setDefaultTimeout, test } from "bun:test";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { prepareService, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const TOKEN = "canary-operator-token";
const ENV = { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN}` };

test("failed sign-ins are logged and counted, whatever the method", async () => {
  await using service = await startService({ env: ENV, token: TOKEN });
  const count = async (reason: string) => {
    const text = await (await service.fetch("/metrics")).text();
    return new RegExp(`^fetchbox_auth_failures_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(text)?.[1];
  };
  expect([await count("missing"), await count("unknown")]).toEqual(["0", "0"]);
  const tries = [
    ["GET", "/operators/jobs"],
    ["HEAD", "/operators/jobs"],
    ["GET", "/metrics"],
    ["POST", "/jobs"],
    ["POST", "/operators/queue/pause"],
    ["DELETE", "/operators/dlq/1"],
  ] as const;
  for (const [method, path] of tries) {
    for (const authorization of [undefined, "Bearer canary-wrong-token"]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const response = await fetch(service.url + path, { method, headers, proxy: false } as RequestInit);
      expect([method, path, response.status]).toEqual([method, path, 401]);
    }
  }
  expect([await count("missing"), await count("unknown")]).toEqual(["6", "6"]);
  const lines = () =>
    service.log
      .split("\n")
      .filter((line) => line.includes("sign-in failed"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  await eventually("all of them are logged", () => (lines().length === 12 ? true : undefined));
  expect(lines().map(({ level, method, reason }) => [level, method, reason])).toEqual(
    tries.flatMap(([method]) => ["missing", "unknown"].map((reason) => ["warn", method, reason])),
  );
  expect(lines()[0]).toMatchObject({ address: "127.0.0.1", route: "/operators/jobs", request_id: expect.any(String) });
  expect(service.log).not.toContain("canary");
});

test("a wrong token is refused where there is nothing, too; without one the answer says that there is nothing", async () => {
  await using service = await startService({ env: ENV, token: TOKEN });
  const statusOf = async (method: string, path: string, token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(service.url + path, { method, headers, proxy: false } as RequestInit)).status;
  };
  for (const [method, path, status] of [
    ["GET", "/nothing-here", 404],
    ["POST", "/operators/jobs", 405],
    ["PUT", "/jobs", 405],
    ["OPTIONS", "/operators/dlq/1", 405],
  ] as const) {
    expect([path, await statusOf(method, path)]).toEqual([path, status]);
    expect([path, await statusOf(method, path, TOKEN)]).toEqual([path, status]);
    expect([path, await statusOf(method, path, "canary-wrong-token")]).toEqual([path, 401]);
  }
  const metrics = await (await service.fetch("/metrics")).text();
  expect(metrics).toContain('fetchbox_auth_failures_total{reason="unknown"} 4\n');
  await eventually("all of them are logged", () => service.log.split("sign-in failed").length === 5 || undefined);
});

test("a token of less than 16 characters stops the start", async () => {
  await using service = await prepareService({ env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:canary-15-chara" } });
  const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
  expect([code, stderr]).toEqual([2, expect.stringContaining("must have a token of 16 to 1024")]);
  expect(stderr).not.toContain("canary");
});
