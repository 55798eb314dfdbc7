import { expect, setDefaultTimeout, test } from "bun:test";
import type { Snapshot } from "../../src/cli/remote/top/top-text.ts";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { startAtTerminal } from "../support/terminal.ts";

setDefaultTimeout(60_000);

/** A service with a download that stalls, and a host that asked for a pause. */
async function startBusy(service: Service) {
  const [slow, asking] = [await startOrigin(), await startOrigin()];
  const held = slow.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
  const busy = asking.answer("/busy", (_request, response) => {
    response.writeHead(429, { "retry-after": "800" }).end();
  });
  const resources = [
    { id: "a/folder/of/a/rather/long/name/that-goes-on-and-ends-with.bin", url: held.url },
    { id: "busy", url: busy },
  ];
  const job = await service.submit({ manifest_version: "v1", resources });
  await held.reached;
  await eventually("the other is throttled", async () => {
    const rows = await service.resources(job);
    return rows.some(({ state }) => state === "retrying") || undefined;
  });
  return {
    held,
    job,
    hosts: [slow, asking].map(({ url }) => new URL(url).host),
    async [Symbol.asyncDispose]() {
      held.release();
      await Promise.all([slow[Symbol.asyncDispose](), asking[Symbol.asyncDispose]()]);
    },
  };
}

test.each([40, 80, 140])("top fits into %d columns, refreshes, and ends with q", async (columns) => {
  await using service = await startService();
  await using busy = await startBusy(service);
  const env = { FETCHBOX_SERVER: service.url };
  const rows = 20;
  await using top = startAtTerminal(["top"], { cwd: service.folder, env, columns, rows });
  const shown = /with\.bin/;
  await eventually("it is drawn", () => shown.test(top.written()) || undefined);
  expect(top.written()).toMatch(/waiting/);
  busy.held.release();
  await eventually("the end of the download is seen", () => top.written().includes("no download runs") || undefined);
  top.type("q");
  expect(await top.ended).toBe(0);
  for (const line of top.lines()) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
  // The cursor is visible again.
  expect(top.written().lastIndexOf("\x1b[?25h")).toBeGreaterThan(top.written().lastIndexOf("\x1b[?25l"));
});

test("top keeps the last figures while the service is away, and ends with Ctrl-C", async () => {
  await using service = await startService();
  await using busy = await startBusy(service);
  await using top = startAtTerminal(["top"], { cwd: service.folder, env: { FETCHBOX_SERVER: service.url } });
  await eventually("it is drawn", () => top.written().includes("with.bin") || undefined);
  await service.kill();
  await eventually("it names the reason", () => top.written().includes("no answer since ") || undefined);
  top.type("\x03");
  expect(await top.ended).toBe(0);
  busy.held.release();
});

test("top prints one snapshot where it has no terminal, or for --once, and the answers as JSON", async () => {
  await using service = await startService();
  await using busy = await startBusy(service);
  const env = { FETCHBOX_SERVER: service.url };
  const plain = await runBinary(["top"], { cwd: service.folder, env });
  expect([plain.code, plain.stderr]).toEqual([0, ""]);
  const lines = plain.stdout.split("\n");
  expect(lines[0]).toStartWith(`FetchBox at ${service.url} · `);
  expect(plain.stdout).toContain("1 download, the slowest first · ");
  for (const host of busy.hosts) expect(lines.some((line) => line.startsWith(host))).toBe(true);
  expect(lines.find((line) => line.startsWith(busy.hosts[1] ?? ""))).toMatch(/ 1 +0 +0 +waiting until .* 0 +1 +0$/);
  expect(lines.find((line) => line.includes("with.bin"))).toMatch(/ body +3\.\d MB of 5\.2 MB .* 1 +127\.0\.0\.1$/);
  expect(plain.stdout).not.toContain("\x1b");

  await using once = startAtTerminal(["top", "--once"], { cwd: service.folder, env, columns: 60 });
  expect(await once.ended).toBe(0);
  expect(once.written()).not.toContain("\x1b");
  for (const line of once.lines()) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);

  const json = await runBinary(["top", "--json"], { cwd: service.folder, env });
  const snapshot = JSON.parse(json.stdout) as Snapshot;
  expect(snapshot.downloads).toMatchObject({ total: 1, downloads: [{ job_id: busy.job, stage: "body" }] });
  expect(snapshot.hosts.hosts.map(({ state }) => state)).toEqual(["open", "waiting"]);
  expect(snapshot.queue).toMatchObject({ running: 1, retrying: 1 });
});

test("top without a service ends with the reason", async () => {
  const { code, stderr } = await runBinary(["top"], { cwd: "/", env: { FETCHBOX_SERVER: "http://127.0.0.1:9" } });
  expect(code).toBe(1);
  expect(stderr).toContain("no FetchBox answers at http://127.0.0.1:9");
});
