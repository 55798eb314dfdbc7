import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { errorOf } from "../support/answers.ts";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { expectNoJob } from "../support/refusal.ts";
import { prepareService, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

const GOOD = { manifest_version: "v1", resources: [{ id: "a", url: "http://127.0.0.1:9/a" }] };

describe("a handler of one's own", () => {
  const handlers = {
    thrown: "prepare() { throw new Error('secret of the handler'); }, *buildTasks() {}",
    late: "prepare: (m) => m, *buildTasks({ resources }) { for (const { id, url } of resources) yield { resourceId: id, url }; throw new Error('secret of the handler'); }",
    nonsense: "prepare: (m) => m, *buildTasks() { yield 5; }",
    outside:
      "prepare: (m) => m, *buildTasks({ resources }) { yield { resourceId: 'a', url: resources[0].url, key: '../../x' }; }",
    nothing: "prepare: (m) => m, *buildTasks() {}",
    notIterable: "prepare: (m) => m, buildTasks: () => 7",
    looping: "prepare() { for (;;); }, *buildTasks() {}",
    loopsLate:
      "prepare: (m) => m, async *buildTasks({ resources }) { yield { resourceId: 'a', url: resources[0].url }; for (;;); }",
    endless:
      "prepare: (m) => m, *buildTasks({ resources }) { for (let i = 0; ; i++) yield { resourceId: 'a' + i, url: resources[0].url }; }",
    hung: "prepare: () => new Promise(() => {}), *buildTasks() {}",
    slow: "prepare: (m) => m, async *buildTasks({ resources }) { for (let i = 0; ; i++) { await Bun.sleep(50); yield { resourceId: 'a' + i, url: resources[0].url }; } }",
    ends: "prepare() { process.exit(0); }, *buildTasks() {}",
    dies: "prepare: () => new Promise(() => { setTimeout(() => { throw new Error('secret of the handler'); }); }), *buildTasks() {}",
    aborts: "prepare() { process.abort(); }, *buildTasks() {}",
    kills: "prepare() { process.kill(process.pid, 'SIGKILL'); }, *buildTasks() {}",
    killsGroup: "prepare() { process.kill(0, 'SIGTERM'); }, *buildTasks() {}",
    noData: "prepare: (m) => m, *buildTasks() { yield { resourceId: 'a', url: () => 'secret of the handler' }; }",
  };

  test("that throws, or yields nonsense, is answered with 500 and nothing of the job remains", async () => {
    const names = Object.keys(handlers).map((name) => name.toLowerCase());
    await using service = await startService({
      toml: names
        .map((name) => `[handlers.${name}]\nhandler = "handlers/${name}.ts"\ndeadline_ms = 1000\nmax_tasks = 3000\n`)
        .join(""),
      files: Object.fromEntries(
        Object.entries(handlers).map(([name, code]) => [
          `handlers/${name.toLowerCase()}.ts`,
          `export default { ${code} };`,
        ]),
      ),
    });
    const responses = await Promise.all(
      names.map(async (name) => ({ name, response: await service.post(GOOD, { "x-fetchbox-job-type": name }) })),
    );
    for (const { name, response } of responses) {
      const error = await errorOf(response);
      expect([name, response.status, error.code]).toEqual([name, 500, "HANDLER_ERROR"]);
      expect(JSON.stringify(error)).not.toContain("secret");
      // Whoever runs the service finds the cause.
      await eventually("the line of the log", () => service.log.includes(error.request_id) || undefined);
    }
    await eventually("the cause", () => service.log.includes("secret of the handler") || undefined);
    // The build shortens the names of classes.
    expect(service.log).toContain('"err":{"type":"IntakeError"');
    await expectNoJob(service);
  });

  test("that expands a manifest in its own way has its tasks done under its own keys", async () => {
    await using origin = await startOrigin();
    const code = `export default ({ count }) => ({
      prepare(manifest) { if (manifest.metadata?.bad) throw Object.assign(new Error("no"), {}); return manifest; },
      async *buildTasks(manifest, context) {
        for (let i = 0; i < count; i++) yield {
          resourceId: "page-" + i, url: manifest.resources[0].url + "?page=" + i, key: "own/" + context.jobId + "/" + i,
        };
      },
    });`;
    await using service = await startService({
      toml: '[handlers.pages]\nhandler = "pages.ts"\noptions = { count = 2500 }\n',
      files: { "pages.ts": code },
    });
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] };
    const response = await service.post(manifest, { "x-fetchbox-job-type": "pages" });
    expect(response.status).toBe(202);
    const { job_id: jobId, resource_count } = (await response.json()) as { job_id: string; resource_count: number };
    expect(resource_count).toBe(2500);
    expect(await service.finished(jobId, 40_000)).toMatchObject({ status: "completed", resource_completed: 2500 });
    expect((await LOCAL.keys(service, [`own/${jobId}/`])).length).toBe(2500);
  });

  test("that loops holds up neither other jobs nor its own next ones, and each is told why", async () => {
    await using origin = await startOrigin();
    const code = `export default {
      prepare(manifest) { if (manifest.metadata?.loop) for (;;); return manifest; },
      *buildTasks({ resources }) { for (const { id, url } of resources) yield { resourceId: id, url }; },
    };`;
    await using service = await startService({
      toml: '[handlers.looping]\nhandler = "looping.ts"\ndeadline_ms = 2000\n',
      files: { "looping.ts": code },
    });
    const ofType = { "x-fetchbox-job-type": "looping" };
    const good = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] };
    const loops = Array.from({ length: 6 }, () => service.post({ ...GOOD, metadata: { loop: true } }, ofType));
    // Another handler's job is stored while those compute without end.
    await service.finished(await service.submit(good));
    const answers = await Promise.all(loops);
    // Four at a time are tried; who waits for those longer than they may take is told to come again.
    expect(answers.filter(({ status }) => status === 500).length).toBeGreaterThanOrEqual(4);
    expect(answers.filter(({ status }) => status !== 500 && status !== 429)).toEqual([]);
    await eventually(
      "the line of the log",
      () => service.log.includes("the handler did not answer within") || undefined,
    );
    const job = await service.submit(good, ofType);
    expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 1 });
  });

  test("sees no secret of the service, and whatever it prints is a line of the log", async () => {
    await using origin = await startOrigin();
    const code = `import { writeFileSync } from "node:fs";
    export default ({ key }) => ({
      prepare(manifest) {
        console.log("env", JSON.stringify(process.env), JSON.stringify(Bun.env), key.length);
        process.stdout.write("RAW-OUT\\n");
        process.stderr.write("RAW-ERR\\n");
        setTimeout(() => { throw new Error("too late"); }, 20);
        return manifest;
      },
      *buildTasks({ resources }) { yield { resourceId: "a", url: resources[0].url }; },
    });`;
    await using service = await startService({
      toml: '[handlers.curious]\nhandler = "curious.ts"\noptions = { key = "${HANDLER_KEY}" }\n',
      files: { "curious.ts": code },
      env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:CANARY-TOKEN-OF-THE-OPERATOR", HANDLER_KEY: "CANARY-KEY" },
      token: "CANARY-TOKEN-OF-THE-OPERATOR",
    });
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] };
    await service.finished(await service.submit(manifest, { "x-fetchbox-job-type": "curious" }));
    await eventually("it fails late", () => service.log.includes("failed after its work: ") || undefined);
    expect(service.log).not.toContain("CANARY");
    const said = service.log
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { level: string; msg: string; handler?: string })
      .filter(({ handler }) => handler === "curious");
    expect(said.slice(0, 3).map(({ level, msg }) => [level, msg])).toEqual([
      ["info", "env {} {} 10"],
      ["info", "RAW-OUT"],
      ["error", "RAW-ERR"],
    ]);
  });

  test.each([
    ["export default {", /: cannot be loaded: \/.*\/broken\.ts:1:16: \S.*\n$/],
    ["let a: = 3; }\n", /: cannot be loaded:\n  \/.*\/broken\.ts:1:8: Unexpected =\n  \/.*\/broken\.ts:1:13: .*\n$/],
    ['import "./other.ts";\nexport default {};', /: cannot be loaded: \/.*\/other\.ts:2:12: Unexpected ;\n$/],
    ["const a = 1;\nthrow new Error('boom');\nexport default {};", /\/broken\.ts:2:\d+: boom\n$/],
    ["export default () => {\n  throw new Error('boom');\n};", /\/broken\.ts:2:\d+: boom\n$/],
    ["export default { prepare() {} };", /lacks the method buildTasks/],
  ])("that cannot be loaded is told with file, line and message, also by config check: %j", async (code, place) => {
    await using service = await prepareService({
      toml: '[handlers.broken]\nhandler = "broken.ts"\n',
      files: { "broken.ts": code, "other.ts": "\nconst a = (;" },
    });
    for (const command of [["serve"], ["config", "check"]]) {
      const { code: exit, stderr } = await runBinary(command, { cwd: service.folder, env: service.env });
      expect([command, exit]).toEqual([command, 2]);
      expect(stderr).toContain('[handlers.broken] handler = "');
      expect(stderr).toMatch(place);
    }
  });

  test("that cannot be loaded is told beside every other one", async () => {
    await using service = await prepareService({
      toml: ["a", "b", "c"].map((name) => `[handlers.${name}]\nhandler = "${name}.ts"\n`).join(""),
      files: {
        "a.ts": "throw new Error('boom');",
        "b.ts": "export default { prepare: (m) => m, *buildTasks() {} };",
        "c.ts": "export default { prepare() {} };",
      },
    });
    const run = (...args: string[]) =>
      runBinary(["config", "check", ...args], { cwd: service.folder, env: service.env });
    const { code, stderr } = await run();
    expect([code, stderr.match(/\[handlers\.\w\](?= handler =)/g)]).toEqual([2, ["[handlers.a]", "[handlers.c]"]]);
    const { problems } = JSON.parse((await run("--json")).stdout) as { problems: { message: string }[] };
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^\[handlers\.a\] .*: boom$/),
      expect.stringMatching(/^\[handlers\.c\] .* lacks the method buildTasks$/),
    ]);
  });

  test("whose threads are all at other jobs for long is not said to have failed", async () => {
    await using service = await startService({
      toml: '[handlers.hung]\nhandler = "hung.ts"\ndeadline_ms = 1500\n',
      files: { "hung.ts": "export default { prepare: () => new Promise(() => {}), *buildTasks() {} };" },
    });
    const answers = await Promise.all(
      Array.from({ length: 9 }, () => service.post(GOOD, { "x-fetchbox-job-type": "hung" })),
    );
    expect(answers.map(({ status }) => status).filter((status) => status === 500).length).toBeGreaterThanOrEqual(4);
    const busy = answers.find(({ status }) => status === 429);
    expect(busy?.headers.get("retry-after")).toMatch(/^\d+$/);
    expect((await errorOf(busy ?? new Response())).code).toBe("QUEUE_FULL");
  });

  test("that prints is heard in the log, and is told when its job has ended", async () => {
    await using origin = await startOrigin();
    const code = `export default {
      prepare(manifest) { console.warn("looking at %d resources", manifest.resources.length); return manifest; },
      *buildTasks({ resources }) { for (let i = 0; i < 500; i++) console.log("line", i); yield { resourceId: "a", url: resources[0].url }; },
      finalize: ({ status, counters }) => console.log("ended as", status, counters.completed),
    };`;
    await using service = await startService({
      toml: '[handlers.speaking]\nhandler = "speaking.ts"\n',
      files: { "speaking.ts": code },
    });
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] };
    await service.finished(await service.submit(manifest, { "x-fetchbox-job-type": "speaking" }));
    await eventually("finalize is heard", () => service.log.includes("ended as completed 1") || undefined);
    const lines = service.log
      .split("\n")
      .filter((line) => line.includes('"handler":"speaking"'))
      .map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(lines[0]).toMatchObject({ level: "warn", msg: "looking at 1 resources" });
    expect(lines.at(-2)?.msg).toBe("further lines are left out");
    expect(lines).toHaveLength(101);
  });
});
