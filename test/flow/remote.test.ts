import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JobSnapshot, LogRow } from "../support/answers.ts";
import { type Ended, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { freePort } from "../support/peers.ts";
import { type Service, type ServiceOptions, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

interface Desk extends AsyncDisposable {
  readonly service: Service;
  readonly origin: Origin;
  run(...args: string[]): Promise<Ended>;
  /** What a command prints that must end well. */
  out(...args: string[]): Promise<string>;
  file(name: string, content: string): Promise<string>;
}

async function desk(options: ServiceOptions = {}): Promise<Desk> {
  const origin = await startOrigin();
  const service = await startService(options);
  const env = {
    FETCHBOX_SERVER: service.url,
    ...(options.token !== undefined && { FETCHBOX_TOKEN: options.token }),
  };
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
    async file(name, content) {
      await writeFile(join(service.folder, name), content);
      return name;
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

const jobIn = (text: string) => /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(text)?.[0] ?? "";

test("a manifest is submitted, waited for, shown and listed", async () => {
  await using at = await desk();
  expect(await at.out("jobs")).toBe("no jobs\n");
  const manifest = await at.file(
    "manifest.json",
    JSON.stringify({
      manifest_version: "v1",
      resources: [
        { id: "a", url: at.origin.serve("/a", "aaaa") },
        { id: "b", url: `${at.origin.url}/missing` },
      ],
    }),
  );
  const submitted = await at.out("submit", manifest, "--tenant", "press");
  const job = jobIn(submitted);
  expect(submitted).toBe(`job ${job} queued: 2 resources\n`);
  await at.service.finished(job);
  const shown = await at.run("status", job);
  expect(shown.code).toBe(1);
  expect(shown.stdout).toContain("status   partial: 1 of 2 stored, 1 failed, 4 B\n");
  expect(shown.stdout).toMatch(/^b +DOWNLOAD_HTTP_404 +1 +the origin answered 404$/m);
  expect(JSON.parse((await at.run("status", job, "--json")).stdout)).toEqual(await at.service.job(job));
  const waited = await at.run("submit", manifest, "--wait", "--idempotency-key", "k");
  expect([waited.code, waited.stdout]).toEqual([
    1,
    expect.stringMatching(/^job .* queued: 2 resources\njob .* partial: /),
  ]);
  const again = await at.run("submit", manifest, "--wait", "--idempotency-key", "k", "--json");
  expect((JSON.parse(again.stdout) as JobSnapshot).job_id).toBe(jobIn(waited.stdout));
  const listed = await at.out("jobs", "--tenant", "press");
  expect(listed.split("\n")[0]).toMatch(/^JOB +STATUS +TYPE +TENANT +STORED +FAILED +BYTES +AGE$/);
  expect(listed.split("\n").slice(1, -1)).toEqual([
    expect.stringMatching(new RegExp(`^${job} +partial +default +press +1/2 +1 +4 B`)),
  ]);
  expect(await at.out("jobs", "--limit", "1")).toContain("more jobs follow: --cursor ");
  expect((JSON.parse(await at.out("jobs", "--json")) as { jobs: unknown[] }).jobs.length).toBe(2);
});

test("a list of URLs is split into jobs, and none is submitted twice when that is repeated", async () => {
  await using at = await desk();
  const urls = Array.from({ length: 25 }, (_, i) => at.origin.serve(`/files/picture ${i % 3}.jpg?n=${i}`, `${i}`));
  const file = await at.file("urls.txt", `# pictures\n\n${urls.map(encodeURI).join("\r\n")}\n`);
  const first = await at.run("submit", file, "--wait", "--batch", "10", "--tenant", "pictures");
  expect(first.stdout.match(/ queued: (\d+) resources/g)?.length).toBe(3);
  expect(first.stdout).toMatch(/\n3 jobs in \ds: 0 of 25 stored, 25 failed, 0 B\n$/);
  const second = await at.out("submit", file, "--batch", "10", "--tenant", "pictures");
  expect(second.match(/ was submitted before: /g)?.length).toBe(3);
  expect(second).toEndWith("\n3 jobs, 25 resources in total\n");
  const { jobs } = JSON.parse(await at.out("jobs", "--tenant", "pictures", "--json")) as { jobs: JobSnapshot[] };
  expect(jobs.map(({ resource_total }) => resource_total)).toEqual([5, 10, 10]);
  const rows = await at.service.resources(jobs.at(-1)?.job_id ?? "");
  expect(rows[0]?.resource_id).toBe("01-picture_200.jpg");
  const bad = await at.run("submit", await at.file("bad.txt", `${at.origin.url}/a\nftp://example.com/\n`));
  expect([bad.code, bad.stderr]).toEqual([
    2,
    "fetchbox: not every line is a URL; no download was started\n  line 2: must be an absolute http: or https: URL\n",
  ]);
});

test("of a list that the service refuses in a part, the line is named, and what became of the rest", async () => {
  await using at = await desk({ settings: { "egress.allow_private": "127.0.0.1/32" } });
  const urls = Array.from({ length: 5 }, (_, i) => at.origin.serve(`/${i}`, "x"));
  const list = ["\uFEFF# a list", ...urls, "", "http://10.0.0.1/", ""].join("\n");
  const ended = await at.run("submit", await at.file("list.txt", list), "--batch", "4");
  expect([ended.code, ended.stdout.match(/ queued: 4 resources/g)?.length]).toEqual([2, 1]);
  expect(ended.stderr).toMatch(
    /^fetchbox: INVALID_PAYLOAD: .* \(request \S+\); 1 of 2 jobs were submitted before and continue\n {2}line 8: must not/,
  );
  const nobodys = await at.run("submit", await at.file("short.txt", `${urls[0]}\n`), "--job-type", "nobodys");
  expect([nobodys.code, nobodys.stderr]).toEqual([
    2,
    expect.stringMatching(/^fetchbox: UNSUPPORTED_JOB_TYPE: .*; no job was submitted\n$/),
  ]);
  const long = `http://a.example/${"x".repeat(2048)}`;
  const local = await at.run("submit", await at.file("long.txt", `http://a.example/a b\n${long}\n`));
  expect([local.code, local.stdout]).toEqual([2, ""]);
  expect(local.stderr).toContain("line 1: must not contain spaces");
  expect(local.stderr).toContain("line 2: must be at most 2048 characters");
});

test("who waits for a job waits over a restart of the service", async () => {
  await using origin = await startOrigin();
  const port = await freePort();
  await using service = await startService({ settings: { "server.bind_addr": `127.0.0.1:${port}` } });
  const held = origin.hold("/held", new Uint8Array(10));
  const manifest = { manifest_version: "v1", resources: [{ id: "a", url: held.url }] };
  await writeFile(join(service.folder, "held.json"), JSON.stringify(manifest));
  const options = { cwd: service.folder, env: { FETCHBOX_SERVER: service.url } };
  const waiting = runBinary(["submit", "held.json", "--wait"], options);
  await held.reached;
  await service.kill();
  held.release();
  await service.start();
  const { code, stderr } = await waiting;
  // Told once, if it was asked meanwhile at all.
  expect([code, stderr.replace("the service does not answer; waiting for it\n", "")]).toEqual([0, ""]);
});

test("--timeout ends a wait, for the end of a job and for a busy service, and says what goes on", async () => {
  await using at = await desk({ settings: { "queue.max_pending_tasks": 2 } });
  const held = at.origin.hold("/held", new Uint8Array(10));
  const one = JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: held.url }] });
  const manifest = await at.file("held.json", one);
  const waited = await at.run("submit", manifest, "--wait", "--timeout", "0.5");
  const job = jobIn(waited.stdout);
  expect([waited.code, waited.stdout]).toEqual([1, `job ${job} queued: 1 resource\n`]);
  expect(waited.stderr).toBe(
    `fetchbox: --timeout of 0.5 s has passed; the submitted job continues, see fetchbox status ${job}\n`,
  );
  await at.out("submit", manifest);
  const list = await at.file("list.txt", `${at.origin.url}/a\n`);
  const refused = await at.run("submit", list, "--timeout", "0.5");
  expect([refused.code, refused.stdout]).toEqual([1, ""]);
  expect(refused.stderr).toMatch(/^QUEUE_FULL: .*; next try in 10 s\nfetchbox: --timeout of 0.5 s has passed\n$/);
  for (const timeout of ["0", "-1", "soon"]) {
    const bad = await at.run("submit", manifest, "--timeout", timeout);
    expect([bad.code, bad.stderr]).toEqual([2, "fetchbox: --timeout must be a number of seconds above 0\n"]);
  }
  held.release();
  await at.service.finished(job);
});

test("a log is printed and followed, and a job is cancelled", async () => {
  await using at = await desk();
  const held = at.origin.hold("/held", new Uint8Array(10));
  const resources = [
    { id: "held", url: held.url },
    ...[1, 2, 3].map((i) => ({ id: `${i}`, url: at.origin.serve(`/${i}`, "x") })),
  ];
  const job = await at.service.submit({ manifest_version: "v1", resources });
  await held.reached;
  const following = at.out("logs", job, "--follow", "--json");
  await eventually("three are stored", async () => (await at.service.job(job)).resource_completed === 3 || undefined);
  expect(await at.out("cancel", job)).toBe(`cancelling job ${job}; its status was in_progress\n`);
  const rows = (await following)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as LogRow);
  expect(rows).toEqual(await at.service.logs(job));
  const printed = await at.out("logs", job, "--level", "info");
  expect(printed).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ info  job accepted/);
  const again = await at.run("cancel", job);
  expect([again.code, again.stderr]).toEqual([
    1,
    expect.stringMatching(/^fetchbox: JOB_FINISHED: .*\(request .*\)\n$/),
  ]);
});

test("dead letters are listed, counted, replayed and discarded", async () => {
  await using at = await desk();
  expect(await at.out("dlq", "operations")).toBe("no bulk operations\n");
  const resources = [1, 2, 3].map((i) => ({ id: `${i}`, url: `${at.origin.url}/later/${i}` }));
  const job = await at.service.submit({ manifest_version: "v1", resources });
  await at.service.finished(job);
  expect((await at.out("dlq", "list")).split("\n").slice(1, -1)).toEqual(
    [3, 2, 1].map((i) =>
      expect.stringMatching(new RegExp(` ${i} +.* +DOWNLOAD_HTTP_404 +1 +http://127.0.0.1:\\d+/later/${i}$`)),
    ),
  );
  expect(await at.out("dlq", "analyze", "--by", "host")).toMatch(
    /^HOST +COUNT +.*\n127\.0\.0\.1:\d+ +3 +100\.0 % .*\n3 dead letters\n$/,
  );
  expect((await at.run("dlq", "replay")).code).toBe(2);
  expect(await at.out("dlq", "replay", "--code", "DOWNLOAD_HTTP_404", "--dry-run")).toBe("3 would be replayed\n");
  for (const i of [1, 2, 3]) at.origin.serve(`/later/${i}`, "now");
  const refused = await at.run("dlq", "replay", "1", "--header", "Cookie:***");
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining("--header Cookie: *** stands for a secret; enter the value in its place"),
  ]);
  const twice = await at.run("dlq", "replay", "1", "--header", "X-Note: a", "--header", "x-note: b");
  expect([twice.code, twice.stderr]).toEqual([
    2,
    expect.stringContaining("--header x-note is given twice; letter case is ignored"),
  ]);
  expect(await at.out("dlq", "replay", "1", "--header", "X-Note: again")).toBe("1 of 1 replayed\n");
  await at.service.finished(job);
  expect(at.origin.headers("/later/1")).toContain("X-Note");
  expect(await at.out("dlq", "rm", "2")).toBe("1 of 1 discarded\n");
  expect(JSON.parse(await at.out("dlq", "replay", "--all", "--rate", "100", "--json"))).toEqual({
    matched: 1,
    replayed: 1,
  });
  expect((await at.service.finished(job)).resource_completed).toBe(2);
  for (const verb of ["rm", "replay"]) {
    const none = await at.run("dlq", verb, "2");
    expect([none.code, none.stdout]).toEqual([1, expect.stringMatching(/^0 of 1 /)]);
    expect(none.stderr).toBe("fetchbox: no dead letter has the id 2\n");
  }
  const many = await at.run("dlq", "replay", ...Array.from({ length: 12 }, (_, i) => String(i + 100)));
  expect([many.stdout, many.stderr]).toEqual([
    "0 of 12 replayed\n",
    "fetchbox: no dead letter has the id 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 2 more\n",
  ]);
  expect((await at.run("dlq", "replay", "--all", "--rate", "fast")).stderr).toContain("--rate must be a number");
  expect(await at.out("dlq", "operations")).toMatch(
    /^OPERATION +KIND +STATUS +DONE +OF +AGE +FILTER\n +1 +replay +completed +1 +1 +.* +all\n$/,
  );
  expect(JSON.parse(await at.out("dlq", "stop", "1", "--json"))).toMatchObject({
    operation_id: 1,
    status: "completed",
  });
  const gone = {
    manifest_version: "v1",
    resources: [4, 5].map((i) => ({ id: `${i}`, url: `${at.origin.url}/gone/${i}` })),
  };
  await at.service.finished(await at.service.submit(gone));
  const host = new URL(at.origin.url).host;
  expect(await at.out("dlq", "rm", "--host", host, "--dry-run")).toBe("2 would be discarded\n");
  const hint = "; a host includes its port, as in 127.0.0.1:8080, unless it is the default port\n";
  expect(await at.out("dlq", "rm", "--host", "127.0.0.1")).toBe(`0 of 0 discarded${hint}`);
  expect(await at.out("dlq", "list", "--host", "127.0.0.1")).toBe(`no dead letters${hint}`);
  expect(await at.out("dlq", "rm", "--host", host)).toBe("2 of 2 discarded\n");
  expect(await at.out("dlq", "list")).toBe("no dead letters\n");
});

test("a plain day is taken as midnight where the user is", async () => {
  await using at = await desk();
  await at.service.finished(
    await at.service.submit({ manifest_version: "v1", resources: [{ id: "a", url: `${at.origin.url}/gone` }] }),
  );
  const asked: string[] = [];
  at.origin.answer("/operators/dlq", (request, response) => {
    asked.push(new URL(request.url ?? "", at.origin.url).searchParams.get("since") ?? "");
    response.end('{"entries":[],"next_cursor":null}');
  });
  for (const since of ["2026-11-28", "2026-02-31", "2026-11-28T10:00:00Z"]) {
    await runBinary(["dlq", "list", "--since", since, "--server", at.origin.url], {
      cwd: at.service.folder,
      env: { TZ: "America/New_York" },
    });
  }
  expect(asked).toEqual(["2026-11-28T05:00:00.000Z", "2026-02-31", "2026-11-28T10:00:00Z"]);
  expect(await at.out("dlq", "list", "--since", "2026-01-01")).toContain("DOWNLOAD_HTTP_404");
});

test("a proxy before the service that says when to come again is asked again then", async () => {
  await using at = await desk();
  let asked = 0;
  at.origin.answer("/jobs", (_request, response) => {
    if (asked++ === 0)
      return response.writeHead(503, { "retry-after": "1", "content-type": "text/html" }).end("<html>");
    return response.writeHead(202).end(JSON.stringify({ job_id: "j", resource_count: 1 }));
  });
  const file = await at.file("list.txt", at.origin.serve("/a", "a"));
  const ended = await at.run("submit", file, "--server", at.origin.url);
  expect([ended.code, ended.stdout]).toEqual([0, "job j queued: 1 resource\n"]);
  expect(ended.stderr).toBe("the server answered 503: <html>; next try in 1 s\n");
});

test("the queue is shown, paused and resumed", async () => {
  await using at = await desk();
  expect(await at.out("pause")).toBe(`downloads paused at ${at.service.url}\n`);
  const url = at.origin.serve("/a", "a");
  const job = await at.service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
  const shown = await at.out("queue");
  expect(shown).toBe(
    "1 pending · 0 running · 0 retrying\nnothing runs: a pause of the queue; fetchbox resume ends it\n" +
      `HOST${" ".repeat(new URL(url).host.length - 4)}  WAITING  RUNNING  LIMIT  STATE\n` +
      `${new URL(url).host}        1        0     64  open\n`,
  );
  expect(await at.out("resume")).toBe(`downloads resumed at ${at.service.url}\n`);
  expect((await at.service.finished(job)).status).toBe("completed");
  expect((JSON.parse(await at.out("queue", "--json")) as { paused: boolean }).paused).toBe(false);
});

test("what goes wrong is said in a line, with the exit code that scripts need", async () => {
  await using at = await desk({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:OPERATOR-SECRET-0123,submit:SUBMIT-SECRET-0123" },
    token: "SUBMIT-SECRET-0123",
  });
  const failed = async (code: number, text: string, ...args: string[]) => {
    const ended = await at.run(...args);
    expect([args, ended.code, ended.stdout]).toEqual([args, code, ""]);
    expect(ended.stderr).toStartWith(`fetchbox: ${text}`);
    expect(ended.stderr).not.toContain("SECRET");
  };
  await failed(1, "FORBIDDEN: ", "queue");
  await failed(1, "JOB_NOT_FOUND: ", "status", "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00");
  await failed(2, "INVALID_PAYLOAD: ", "jobs", "--status", "lost");
  for (const option of ["--limit", "--status"]) {
    expect((await at.run("jobs", option, "x")).stderr).toMatch(new RegExp(`\\n {2}${option}: must be`));
  }
  for (const command of ["status", "logs", "resources", "cancel"])
    await failed(2, "<job-id> must not be empty", command, "");
  await failed(2, "<task-id> must not be empty", "dlq", "show", "");
  await failed(2, "unknown command 'frob'", "help", "frob");
  await failed(2, "cannot read nothing.json", "submit", "nothing.json");
  await failed(2, "INVALID_PAYLOAD: ", "submit", await at.file("bad.json", "{}"));
  await failed(1, "no FetchBox answers at http://127.0.0.1:9 (ECONNREFUSED)", "jobs", "--server", "http://127.0.0.1:9");
  await failed(2, "--server must be a URL like http://127.0.0.1:8080, got nowhere", "jobs", "--server", "nowhere");
  at.origin.serve("/operators/jobs", "hello");
  at.origin.serve("/operators/jobs/x", "hello");
  at.origin.serve("/operators/jobs/x/logs", "hello");
  for (const command of [
    ["jobs", "--limit", "20"],
    ["status", "x"],
    ["logs", "x", "--follow"],
  ]) {
    await failed(1, `${at.origin.url} answers, but is not FetchBox`, ...command, "--server", at.origin.url);
  }
  await failed(2, "unknown command 'frob'", "frob");
  const broken = await runBinary(["jobs"], {
    cwd: at.service.folder,
    env: { FETCHBOX_SERVER: at.service.url, FETCHBOX_TOKEN: "two\nlines" },
  });
  expect([broken.code, broken.stderr]).toEqual([2, expect.stringContaining("FETCHBOX_TOKEN must be")]);
  const open = await runBinary(["jobs"], { cwd: at.service.folder, env: { FETCHBOX_SERVER: at.service.url } });
  expect([open.code, open.stderr]).toEqual([1, expect.stringContaining("; set FETCHBOX_TOKEN")]);
});
