import { expect, setDefaultTimeout, test } from "bun:test";
import type { JobSnapshot, QueueReport, ResourceRow } from "../support/answers.ts";
import { BINARY, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { prepareService, type Service, type ServiceOptions, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

interface Desk extends AsyncDisposable {
  readonly service: Service;
  readonly origin: Origin;
  run(...args: string[]): ReturnType<typeof runBinary>;
  /** What a command prints that must end well and complain of nothing. */
  out(...args: string[]): Promise<string>;
  /** Submits resources whose ids are the last part of their URLs. */
  submit(urls: readonly string[], headers?: Record<string, string>): Promise<string>;
}

/** An operator in Berlin beside a service. */
async function desk(options: ServiceOptions = {}): Promise<Desk> {
  const origin = await startOrigin();
  const service = await startService(options);
  const env = { FETCHBOX_SERVER: service.url, TZ: "Europe/Berlin" };
  const run = (...args: string[]) => runBinary(args, { cwd: service.folder, env });
  return {
    service,
    origin,
    run,
    async out(...args) {
      const { code, stdout, stderr } = await run(...args);
      expect([args, code, stderr]).toEqual([args, 0, ""]);
      return stdout;
    },
    submit: (urls, headers) => {
      const resources = urls.map((url) => ({ id: decodeURI(url.split("/").at(-1) ?? ""), url }));
      return service.submit({ manifest_version: "v1", resources }, headers);
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

test("a dead letter is shown with its attempts, local times that say their zone, and what to do next", async () => {
  await using at = await desk({ settings: { "queue.max_retries": 1 } });
  const broken = at.origin.answer("/broken.bin", (_request, response) =>
    response.writeHead(500).end('{"error":\n"no \u001b[31mdisk"}'),
  );
  const job = await at.submit([`${at.origin.url}/missing.txt`, broken]);
  await at.service.finished(job);
  const [first, url, title, attempt, ...more] = (await at.out("dlq", "show", "1")).split("\n");
  expect(first).toBe(`task 1 · job ${job} · missing.txt · DOWNLOAD_HTTP_404 the origin answered 404`);
  expect(url).toBe(`${at.origin.url}/missing.txt`);
  expect(title).toMatch(/^ATTEMPT {2}WHEN +TOOK +CODE +HTTP {2}BYTES {2}ADDRESS +PROXY$/);
  expect(attempt).toMatch(
    /^1 {8}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d CES?T {2}\d+ ms +DOWNLOAD_HTTP_404 {2}404 +\d+ B {2}127\.0\.0\.1 {2}–$/,
  );
  const next = "next: fetchbox dlq replay 1 · fetchbox dlq rm 1";
  expect(more).toEqual(["start of the body, attempt 1:", "  nothing here", next, ""]);

  const shown = await at.out("dlq", "show", "2");
  expect(
    shown.split("\n").filter((line) => /^[12] .* DOWNLOAD_HTTP_500 +500 +25 B +127\.0\.0\.1 +–$/.test(line)),
  ).toHaveLength(2);
  expect(shown).toContain('\nstart of the body, attempt 2:\n  {"error":\n  "no disk"}\nnext: ');
  const json = JSON.parse(await at.out("dlq", "show", "2", "--json")) as { history: { started_at: string }[] };
  expect(json).toEqual(await at.service.get("/operators/dlq/2"));
  expect(json.history[0]?.started_at).toMatch(/Z$/);
  const absent = await at.run("dlq", "show", "7");
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringMatching(/^fetchbox: DLQ_ENTRY_NOT_FOUND: [^\n]*\n$/)]);
  expect((await at.run("dlq", "show", "x")).code).toBe(2);
});

test("the files of a job are found: the folder once, then each with state, size and name; as JSON one a line", async () => {
  await using at = await desk();
  const urls = ["a.txt", "b.txt"].map((name) => at.origin.serve(`/${name}`, "abc"));
  const job = await at.submit([...urls, `${at.origin.url}/gone.txt`]);
  await at.service.finished(job);
  const folder = `file://${at.service.folder}/data/objects/fetchbox-artifacts/resources/default/${job}/`;
  expect(await at.out("resources", job)).toBe(
    `objects are in ${folder}
RESOURCE  STATE      BYTES  OBJECT
a.txt     completed    3 B  a.txt
b.txt     completed    3 B  b.txt
gone.txt  failed            – DOWNLOAD_HTTP_404
`,
  );
  expect(await at.out("resources", job, "--state", "pending")).toBe("no resources\n");
  const lines = (await at.out("resources", job, "--json")).trimEnd().split("\n");
  const rows = lines.map((line) => JSON.parse(line) as ResourceRow);
  expect(rows).toEqual(await at.service.resources(job));
  for (const { storage_key } of rows.slice(0, 2)) {
    expect(await Bun.file(new URL(storage_key ?? "")).text()).toBe("abc");
  }
  expect((await at.out("resources", job, "--limit", "1")).split("\n").slice(2)).toEqual([
    expect.stringContaining("a.txt"),
    "more resources follow: set a higher --limit",
    "",
  ]);
  for (const args of [
    ["--limit", "0"],
    ["--state", "lost"],
  ]) {
    expect((await at.run("resources", job, ...args)).code).toBe(2);
  }
});

test("health names every component, and ends with 1 only where the service is unhealthy", async () => {
  await using at = await desk();
  const healthy = await at.out("health");
  expect(healthy).toMatch(
    /^healthy · FetchBox \d+\.\d+\.\d+ · up for \d+ m?s\nCOMPONENT +STATUS +REASON\napi +healthy\n/,
  );
  await at.out("pause");
  expect(await at.out("health")).toMatch(/^degraded · .*[^]*^broker +degraded +paused: no download starts/m);
  expect(JSON.parse(await at.out("health", "--json"))).toMatchObject({
    components: { broker: { status: "degraded" } },
  });
  await at.out("resume");
  // The storage is gone from under the service.
  const [bucket, away] = [`${at.service.folder}/data/objects`, `${at.service.folder}/away`];
  await Bun.$`mv ${bucket} ${away}`.quiet();
  const ended = await eventually("the storage is unhealthy", async () => {
    const result = await at.run("health");
    return result.code === 1 ? result : undefined;
  });
  expect(ended.stderr).toBe("");
  expect(ended.stdout).toMatch(/^unhealthy · [^]*^storage +unhealthy +\S/m);
  await Bun.$`mv ${away} ${bucket}`.quiet();
});

test("health --live and --ready need no token, and end with 1 where the service does not answer or take jobs", async () => {
  const env = { FETCHBOX__SERVER__AUTH__TOKENS: "operator:canary-of-the-operator-1" };
  await using service = await startService({ env });
  const health = (server: string, ...args: string[]) =>
    runBinary(["health", "--server", server, ...args], { cwd: service.folder });
  expect((await health(service.url)).stderr).toContain("UNAUTHORIZED");
  expect((await health(service.url, "--live")).stdout).toBe("alive\n");
  expect(await health(service.url, "--ready", "--json")).toEqual({
    code: 0,
    stdout: '{"status":"ready"}\n',
    stderr: "",
  });
  expect(await health(service.url, "--live", "--ready")).toMatchObject({ code: 2, stdout: "" });
  const [bucket, away] = [`${service.folder}/data/objects`, `${service.folder}/away`];
  await Bun.$`mv ${bucket} ${away}`.quiet();
  const ended = await eventually("the service is not ready", async () => {
    const result = await health(service.url, "--ready");
    return result.code === 1 ? result : undefined;
  });
  expect(ended.stderr).toContain("NOT_READY");
  expect((await health(service.url, "--live")).code).toBe(0);
  await Bun.$`mv ${away} ${bucket}`.quiet();
  const stranger = Bun.serve({ port: 0, fetch: () => Response.json({}) });
  expect((await health(stranger.url.href, "--live")).stderr).toContain("is not FetchBox");
  await stranger.stop(true);
  await service.stop();
  expect(await health(service.url, "--live")).toMatchObject({ code: 1, stdout: "" });
});

test("jobs are cancelled by a filter: their number comes first, and nothing happens without a yes", async () => {
  await using at = await desk();
  await at.out("pause");
  const url = at.origin.serve("/a", "a");
  const press = { "x-fetchbox-tenant": "press" };
  const jobs = [await at.submit([url, `${url}?b`], press), await at.submit([url], press)];
  const other = await at.submit([url]);
  const filter = ["cancel", "--tenant", "press"];
  const found = "2 jobs with 3 unfinished resources";
  expect(await at.out(...filter, "--dry-run")).toBe(`${found}: nothing was cancelled\n`);
  expect(await at.out(...filter, "--dry-run", "--json")).toBe('{"matched":2,"cancelled":0}\n');
  expect(await at.out(...filter, "--status", "in_progress", "--yes")).toStartWith("0 jobs ");
  expect(await at.run(...filter)).toEqual({
    code: 2,
    stdout: "",
    stderr: `fetchbox: the filter matches ${found}; add --yes to cancel, or --dry-run to only count\n`,
  });
  for (const args of [[], [other, "--all"], [other, "--dry-run"], ["--status", "completed"]]) {
    expect([args, (await at.run("cancel", ...args)).code]).toEqual([args, 2]);
  }
  const status = async (job: string) => (await at.service.job(job)).status;
  expect(await Promise.all([...jobs, other].map(status))).toEqual(["queued", "queued", "queued"]);
  expect(await at.out(...filter, "--job-type", "default", "--status", "queued", "--yes")).toBe(
    `cancelling ${found}\n2 jobs cancelled\n`,
  );
  for (const job of jobs) expect((await at.service.finished(job)).status).toBe("cancelled");
  expect(await status(other)).toBe("queued");
  expect(await at.out("cancel", "--all", "--yes", "--json")).toBe('{"matched":1,"cancelled":1}\n');
  expect((await at.service.finished(other)).status).toBe("cancelled");
});

test("on a terminal the command asks before it cancels many jobs, and takes a no", async () => {
  await using at = await desk();
  await at.out("pause");
  const job = await at.submit([at.origin.serve("/a", "a")]);
  for (const [answer, status] of [
    ["n\n", "queued"],
    ["y\n", "cancelled"],
  ] as const) {
    let output = "";
    await using child = Bun.spawn([BINARY, "cancel", "--all"], {
      cwd: at.service.folder,
      env: { PATH: process.env["PATH"] ?? "", FETCHBOX_SERVER: at.service.url },
      terminal: { cols: 80, rows: 50, data: (_, data) => void (output += new TextDecoder().decode(data)) },
    });
    await eventually("it asks", () => output.includes("cancel 1 job with 1 unfinished resource? [y/N]") || undefined);
    child.terminal?.write(answer);
    const end = status === "queued" ? "nothing was cancelled" : "1 job cancelled";
    await eventually(end, () => output.includes(end) || undefined);
    expect(await child.exited).toBe(0);
    await eventually(`the job is ${status}`, async () => (await at.service.job(job)).status === status || undefined);
  }
});

test("the queue shows the pace, what limits it, and hosts that wait, until when in local time", async () => {
  await using at = await desk({ settings: { "queue.workers": 2, "queue.rate_limit_per_worker": 5 } });
  const url = at.origin.serve("/a", "a");
  await at.submit(Array.from({ length: 300 }, (_, i) => `${url}?${i}`));
  await eventually("some are stored", async () => {
    const { stored_per_second: stored, limited_by } = await at.service.get<QueueReport>("/operators/queue");
    return (stored > 0 && limited_by?.cause === "rate_limit") || undefined;
  });
  const [depth, limit, title, host] = (await at.out("queue")).split("\n");
  expect(depth).toMatch(/^\d+ pending · \d running · 0 retrying {8}stored [\d.]+\/s · \d+ (s|min) left$/);
  expect(limit).toBe("limited by queue.rate_limit_per_worker: 2 workers × 5/s = 10/s");
  expect(title).toMatch(/^HOST +WAITING {2}RUNNING {2}LIMIT {2}STATE$/);
  expect(host).toMatch(/^127\.0\.0\.1:\d+ +\d+ +\d +64 {2}open$/);

  await at.out("cancel", "--all", "--yes");
  const throttled = at.origin.answer("/429", (_request, response) => {
    response.writeHead(429, { "retry-after": "600", "content-length": 0 }).end();
  });
  await at.submit([throttled]);
  const waiting = await eventually("the host waits", async () => {
    const shown = await at.out("queue");
    return shown.includes("waiting until") ? shown : undefined;
  });
  expect(waiting).toMatch(/^nothing runs: 127\.0\.0\.1:\d+: it asked for a pause \(DOWNLOAD_HTTP_429\), over in /m);
  expect(waiting).toMatch(/ 0 +0 {2}waiting until \d\d:\d\d:\d\d CES?T \(429\)$/m);
  await at.out("cancel", "--all", "--yes");
});

test("what comes from outside moves no cursor and turns no text, in a table, in JSON and in an error", async () => {
  await using at = await desk();
  const id = "a\u202egpj.exe\u200b";
  const job = await at.service.submit({
    manifest_version: "v1",
    resources: [{ id, url: `${at.origin.url}/gone` }],
  });
  await at.service.finished(job);
  const wild = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;
  for (const args of [
    ["resources", job],
    ["dlq", "show", "1"],
    ["status", job],
    ["logs", job],
    ["dlq", "list"],
  ]) {
    for (const more of [[], ["--json"]]) {
      const { stdout } = await at.run(...args, ...more);
      expect([args, more, stdout]).toEqual([args, more, expect.not.stringMatching(wild)]);
      expect(stdout).not.toBe("");
    }
  }
  const [row] = (await at.out("resources", job, "--json")).split("\n");
  expect((JSON.parse(row ?? "") as ResourceRow).resource_id).toBe(id);
  at.origin.answer("/operators/queue", (_request, response) => {
    const body = { code: "X", message: "a\u001b[31mb\u009b2Jc\u202ed", request_id: "r", details: [] };
    response.writeHead(500, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  const failed = await at.run("queue", "--server", at.origin.url);
  expect([failed.code, failed.stdout]).toEqual([1, ""]);
  expect(failed.stderr).toMatch(/^fetchbox: X: ab/);
  expect(failed.stderr).not.toMatch(wild);
});

test("one of a thing is one, and numbers of many have commas", async () => {
  await using at = await desk();
  const job = await at.submit([`${at.origin.url}/gone`]);
  await at.service.finished(job);
  expect(await at.out("dlq", "analyze")).toEndWith("\n1 dead letter\n");
  expect(((await at.run("status", job)).stdout.match(/^log +(\d+ rows?)$/m) ?? [])[1]).toMatch(/^\d+ rows$/);
  expect(await at.out("cancel", "--all", "--dry-run")).toBe(
    "0 jobs with 0 unfinished resources: nothing was cancelled\n",
  );
  const backup = await runBinary(["backup", "copy"], { cwd: at.service.folder, env: at.service.env });
  expect(backup.stdout).toEndWith("/copy: 1 job, 1 task\n");
  const json = await runBinary(["backup", "copy2", "--json"], { cwd: at.service.folder, env: at.service.env });
  expect(JSON.parse(json.stdout)).toMatchObject({ directory: expect.stringMatching(/\/copy2$/), jobs: 1, tasks: 1 });
  const jobs = JSON.parse(await at.out("jobs", "--json")) as { jobs: JobSnapshot[] };
  expect(jobs.jobs[0]?.created_at).toMatch(/Z$/);
});

/** What a command prints on a terminal of so many columns, as it is shown there. */
async function onTerminal(at: Desk, cols: number, ...args: string[]): Promise<string[]> {
  let output = "";
  const decoder = new TextDecoder();
  await using child = Bun.spawn([BINARY, ...args], {
    cwd: at.service.folder,
    env: { PATH: process.env["PATH"] ?? "", FETCHBOX_SERVER: at.service.url },
    terminal: { cols, rows: 50, data: (_, data) => void (output += decoder.decode(data, { stream: true })) },
  });
  await child.exited;
  child.terminal?.close();
  return output.trimEnd().split("\r\n");
}

test("tables fit a terminal, and long names keep their ends there", async () => {
  await using at = await desk({ settings: { "queue.max_retries": 0 } });
  const long = `${"a-long-folder/".repeat(5)}picture`;
  const urls = [`${at.origin.url}/${long}-1.jpg`, at.origin.serve(`/${long}-2.jpg`, "abc")];
  const resources = urls.map((url, i) => ({ id: `${long}-${i + 1}.jpg`, url }));
  const job = await at.service.submit({ manifest_version: "v1", resources });
  await at.service.finished(job);
  for (const cols of [80, 60, 40]) {
    for (const [args, head] of [
      [["resources", job], /^RESOURCE|^STATE/],
      [["dlq", "list"], /^TASK/],
    ] as const) {
      const lines = await onTerminal(at, cols, ...args);
      const rows = lines.slice(lines.findIndex((line) => head.test(line)));
      expect(rows.length).toBeGreaterThan(1);
      for (const row of rows) expect([cols, row, Bun.stringWidth(row) <= cols]).toEqual([cols, row, true]);
      expect([cols, rows.join("\n")]).toEqual([cols, expect.stringMatching(/\S[12]\.jpg( |$)/m)]);
    }
  }
});

test("tables of jobs, operations and attempts fit a terminal, however narrow; a URL is cut where it is narrow alone", async () => {
  await using at = await desk({ settings: { "queue.max_retries": 0 } });
  const url = `${at.origin.url}/${"a-long-folder/".repeat(5)}gone-1.jpg`;
  const job = await at.submit([url], { "x-fetchbox-tenant": "a-tenant-with-a-long-name" });
  await at.service.finished(job);
  await at.service.finished(await at.submit([`${at.origin.url}/gone-2`], { "x-fetchbox-tenant": "other" }));
  await eventually("both are dead", async () => (await at.out("dlq", "list")).includes("gone-2") || undefined);
  expect(await at.out("dlq", "rm", "--tenant", "other")).toBe("1 of 1 discarded\n");
  for (const cols of [100, 80, 60, 40]) {
    for (const [args, head] of [
      [["jobs"], /^JOB/],
      [["status", job], /^RESOURCE/],
      [["dlq", "operations"], /^OPERATION/],
      [["dlq", "show", "1"], /^ATTEMPT/],
    ] as const) {
      const lines = await onTerminal(at, cols, ...args);
      const rows = lines.slice(lines.findIndex((line) => head.test(line))).filter((line) => !line.startsWith("next: "));
      expect(rows.length).toBeGreaterThan(1);
      for (const row of rows) expect([args, cols, row, Bun.stringWidth(row) <= cols]).toEqual([args, cols, row, true]);
    }
  }
  expect(await onTerminal(at, 80, "dlq", "show", "1")).toContain(url);
  const cut = (await onTerminal(at, 40, "dlq", "show", "1")).find((line) => line.startsWith("http://"));
  expect(cut).toMatch(/^.{10,}….*gone-1\.jpg$/);
  expect(cut?.length).toBe(40);
});

test("the start is one plain line on a terminal", async () => {
  await using service = await prepareService({ settings: { "log.format": "auto" } });
  let output = "";
  const decoder = new TextDecoder();
  await using child = Bun.spawn([BINARY, "serve"], {
    cwd: service.folder,
    env: { PATH: process.env["PATH"] ?? "", ...service.env },
    terminal: { cols: 80, rows: 50, data: (_, data) => void (output += decoder.decode(data, { stream: true })) },
  });
  await eventually("it has started", () => output.includes("FetchBox") || undefined);
  expect(output).toMatch(
    /^FetchBox \d+\.\d+\.\d+ · http:\/\/127\.0\.0\.1:\d+ · configuration: built-in defaults · data: \.\/data · storage: local \.\/data\/objects\r\n$/m,
  );
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
