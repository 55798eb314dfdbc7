import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const FIRST = "canary-first-token-4711";
const SECOND = "canary-second-token-4712";
const TOKENS = '[server.auth]\ntokens = ["operator:${TOKEN}"]\n';
const RELOADED = "reloaded";
const FAILED = "reload failed for some parts; they keep their old configuration";
const UNUSABLE = "reload failed: the configuration is invalid; the old one stays in use";
const RESTART = "reloaded; the keys in needs_restart keep their old values until a restart";

const toml = (service: Service, text: string) => writeFileSync(join(service.folder, "config/fetchbox.toml"), text);
const token = (service: Service, text: string) => writeFileSync(join(service.folder, "config/.env"), `TOKEN=${text}\n`);

function lines(service: Service, message: string): Record<string, unknown>[] {
  return service.log
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ msg }) => msg === message);
}

/** Sends SIGHUP, and gives the one line that tells what came of it. */
async function reload(service: Service, message: string): Promise<Record<string, unknown>> {
  const before = lines(service, message).length;
  service.signal("SIGHUP");
  return eventually(`the log says: ${message}`, () => lines(service, message)[before]);
}

function startWithToken(more = ""): Promise<Service> {
  return startService({ toml: TOKENS + more, files: { "config/.env": `TOKEN=${FIRST}\n` } });
}

async function statusWith(service: Service, bearer?: string): Promise<number> {
  const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  return (await service.fetch("/operators/jobs", { headers })).status;
}

describe("SIGHUP", () => {
  test("takes other tokens, and no request is let in by an old one", async () => {
    await using service = await startWithToken();
    expect(await statusWith(service, FIRST)).toBe(200);
    token(service, SECOND);
    expect((await reload(service, RELOADED))["reloaded"]).toMatchObject({ "access tokens": "1 token, 1 new, 1 gone" });
    expect([await statusWith(service, FIRST), await statusWith(service, SECOND)]).toEqual([401, 200]);
    expect(service.log).not.toContain("canary");
  });

  test("says that tokens are as before, where the environment stands above the file that was changed", async () => {
    const tokens = { FETCHBOX__SERVER__AUTH__TOKENS: "operator:canary-of-the-environment-1" };
    await using service = await startService({ toml: "", env: tokens, token: "canary-of-the-environment-1" });
    writeFileSync(
      join(service.folder, "config/.env"),
      "FETCHBOX__SERVER__AUTH__TOKENS=operator:canary-of-the-file-0002\n",
    );
    expect((await reload(service, RELOADED))["reloaded"]).toMatchObject({ "access tokens": "1 token, as before" });
    expect(await statusWith(service, "canary-of-the-environment-1")).toBe(200);
    expect(service.log).not.toContain("canary");
  });

  test("does not open a service to everyone by taking its last token away", async () => {
    await using service = await startWithToken();
    toml(service, "");
    const line = await reload(service, FAILED);
    expect(line["failed"]).toEqual({ "access tokens": expect.stringContaining("needs a restart") });
    expect([await statusWith(service), await statusWith(service, FIRST)]).toEqual([401, 200]);
  });

  test("closes an open service by its first token, and takes requests under other names then", async () => {
    await using service = await startService({ toml: "", files: { "config/.env": `TOKEN=${FIRST}\n` } });
    expect(await statusWith(service)).toBe(200);
    toml(service, TOKENS);
    await reload(service, RELOADED);
    expect([await statusWith(service), await statusWith(service, FIRST)]).toEqual([401, 200]);
    const named = await service.fetch("/operators/jobs", {
      headers: { authorization: `Bearer ${FIRST}`, host: "fetchbox.example.com" },
    });
    expect(named.status).toBe(200);
  });

  test("takes another level of the log", async () => {
    await using service = await startService({ toml: '[log]\nlevel = "info"\n' });
    await statusWith(service);
    expect(lines(service, "request answered")).toEqual([]);
    toml(service, '[log]\nlevel = "debug"\n');
    expect((await reload(service, RELOADED))["reloaded"]).toMatchObject({ "log level": "debug" });
    await statusWith(service);
    await eventually("reading is logged", () => lines(service, "request answered")[0]);
  });

  test("takes other limits of hosts, for what waits, too", async () => {
    await using origin = await startOrigin();
    const { host } = new URL(origin.url);
    const limited = (most: number) => `[download.hosts."${host}"]\nmax_concurrency = ${most}\n`;
    await using service = await startService({ toml: limited(1) });
    const held = Array.from({ length: 4 }, (_, i) => origin.hold(`/${i}`, Buffer.from("held")));
    const resources = held.map(({ url }, i) => ({ id: `${i}`, url }));
    const job = await service.submit({ manifest_version: "v1", resources });
    await origin.reached(1);
    const limitOf = async () => {
      const { hosts } = await service.get<{ hosts: { host: string; limit: number }[] }>("/operators/queue");
      return hosts.find((each) => each.host === host)?.limit;
    };
    expect(await limitOf()).toBe(1);
    expect(origin.hits()).toBe(1);
    toml(service, limited(3));
    await reload(service, RELOADED);
    await origin.reached(3);
    expect(await limitOf()).toBe(3);
    for (const each of held) each.release();
    expect((await service.finished(job)).status).toBe("completed");
  });

  test("changes nothing by a configuration that cannot be used, and names file, line and key", async () => {
    await using service = await startWithToken();
    token(service, SECOND);
    toml(service, `${TOKENS}[log]\nlevel = "debug"\n[queue]\nworker = 3\nmax_retries = -1\n`);
    expect((await reload(service, UNUSABLE))["problems"]).toEqual([
      expect.stringMatching(/^config\/fetchbox\.toml:6: queue\.worker: /),
      expect.stringMatching(/^config\/fetchbox\.toml:7: queue\.max_retries: /),
    ]);
    expect([await statusWith(service, FIRST), await statusWith(service, SECOND)]).toEqual([200, 401]);
    expect(lines(service, "request answered")).toEqual([]);
    toml(service, '[server.auth]\ntokens = ["operator:canary-third-token-4713"\n');
    expect((await reload(service, UNUSABLE))["problems"]).toEqual([
      expect.stringMatching(/^config\/fetchbox\.toml:\d+:\d+: [^\n]+$/),
    ]);
    expect(service.log).not.toContain("canary");
  });

  test("names what changed and needs a restart, and takes the rest", async () => {
    await using service = await startWithToken("[queue]\nworkers = 2\n");
    token(service, SECOND);
    const pool = '[proxies.main]\nendpoints = ["http://me:${TOKEN}@127.0.0.1:9"]\n';
    toml(service, `${TOKENS}[queue]\nworkers = 3\n${pool}`);
    const line = await reload(service, RESTART);
    expect(line["needs_restart"]).toEqual(["queue.workers", "proxies.main"]);
    expect(await statusWith(service, SECOND)).toBe(200);
    expect(service.log).not.toContain("canary");
    const headers = { authorization: `Bearer ${SECOND}` };
    const queue = await (await service.fetch("/operators/queue", { headers })).json();
    expect(queue).toMatchObject({ workers: { total: 2 } });
    toml(service, `${TOKENS}[queue]\nworkers = 2\n`);
    expect(await reload(service, RELOADED)).not.toHaveProperty("needs_restart");
  });

  test("does not end a service whose program is still being loaded", async () => {
    const preload = join(import.meta.dir, "../support/hangup-at-load.ts");
    const main = join(import.meta.dir, "../../src/main.ts");
    const run = (...args: string[]) =>
      Bun.spawnSync([process.execPath, "--preload", preload, main, ...args], { stdout: "pipe", stderr: "pipe" });
    const service = run("serve", "--config", "none.toml");
    expect([service.signalCode, service.exitCode]).toEqual([undefined, 2]);
    expect(service.stderr.toString()).toContain("none.toml");
    // What has a terminal ends with it.
    expect(run("config", "print").signalCode).toBe("SIGHUP");
  });

  test("stops the service in good order where its terminal was closed", async () => {
    await using origin = await startOrigin();
    await using service = await prepareService();
    let output = "";
    const decoder = new TextDecoder();
    await using child = Bun.spawn([BINARY, "serve"], {
      cwd: service.folder,
      env: { PATH: process.env["PATH"] ?? "", ...service.env },
      terminal: { cols: 200, rows: 50, data: (_, data) => void (output += decoder.decode(data, { stream: true })) },
    });
    const url = await eventually("it answers", () => /"url":"(http:[^"]+)","version"/.exec(output)?.[1]);
    // The terminal is there: this is a reload.
    child.kill("SIGHUP");
    await eventually("it reloads", () => output.includes('"msg":"reloaded"') || undefined);
    const held = origin.hold("/held", Buffer.from("held"), { bytes: 1 });
    const submitted = await fetch(`${url}/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] }),
    });
    const { job_id: job } = (await submitted.json()) as { job_id: string };
    await held.reached;
    child.terminal?.close();
    await eventually("it drains", async () => {
      const ready = await fetch(`${url}/health/ready`).catch(() => undefined);
      return ready?.status === 503 || undefined;
    });
    held.release();
    await child.exited;
    expect([child.exitCode, child.signalCode]).toEqual([0, null]);
    const verified = await runBinary(["verify"], { cwd: service.folder, env: service.env });
    expect([verified.code, verified.stdout]).toEqual([
      0,
      "1 job, 1 task, 0 dead letters, 2 objects: no inconsistencies\n",
    ]);
    await service.start();
    expect(await service.job(job)).toMatchObject({ status: "completed" });
    expect((await service.resources(job))[0]).toMatchObject({ attempts: 1 });
  });
});

test.each(["SIGUSR1", "SIGUSR2"] as const)("%s does not end the service", async (signal) => {
  await using service = await startService();
  service.signal(signal);
  const [line] = await eventually("it is logged", () => {
    const found = lines(service, "signal ignored; SIGHUP reloads, SIGTERM stops");
    return found.length > 0 ? found : undefined;
  });
  expect(line).toMatchObject({ signal });
  expect((await service.fetch("/health/ready")).status).toBe(200);
});
