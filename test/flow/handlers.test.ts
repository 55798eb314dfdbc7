import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { errorOf } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { expectNoJob } from "../support/refusal.ts";
import { startService } from "../support/service.ts";
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
      expect(service.log).toContain(error.request_id);
    }
    expect(service.log).toContain("secret of the handler");
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
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(500));
    expect(service.log).toContain("the handler hangs");
    const job = await service.submit(good, ofType);
    expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 1 });
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
