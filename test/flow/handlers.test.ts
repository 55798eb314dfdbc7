import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { errorOf } from "../support/answers.ts";
import { startOrigin } from "../support/origin.ts";
import { expectNoJob, refusal } from "../support/refusal.ts";
import { startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

const JSON_TYPE = { "content-type": "application/json" };
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
  };

  test("that throws, or yields nonsense, is answered with 500 and nothing of the job remains", async () => {
    const names = Object.keys(handlers).map((name) => name.toLowerCase());
    await using service = await startService({
      toml: names.map((name) => `[handlers.${name}]\nhandler = "handlers/${name}.ts"\n`).join(""),
      files: Object.fromEntries(
        Object.entries(handlers).map(([name, code]) => [
          `handlers/${name.toLowerCase()}.ts`,
          `export default { ${code} };`,
        ]),
      ),
    });
    for (const name of names) {
      const response = await service.post(GOOD, { "x-fetchbox-job-type": name });
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

  test("that hangs is answered with 500 in the end", async () => {
    await using service = await startService({
      toml: '[handlers.hung]\nhandler = "hung.ts"\n',
      files: { "hung.ts": "export default { prepare: () => new Promise(() => {}), *buildTasks() {} };" },
    });
    const signal = AbortSignal.timeout(40_000);
    const response = await service.fetch("/jobs", {
      method: "POST",
      headers: { ...JSON_TYPE, "x-fetchbox-job-type": "hung" },
      body: JSON.stringify(GOOD),
      signal,
    });
    expect(await refusal(response)).toEqual([500, "HANDLER_ERROR"]);
  });
});
