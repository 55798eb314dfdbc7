import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { expectTrueBooks } from "../support/books.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { compilePreload } from "../support/preload.ts";
import { prepareService, type Service, type ServiceOptions } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

const preload = compilePreload("failing-fsync.c");
if ("reason" in preload) console.warn(`the tests of failing fsyncs are left out: ${preload.reason}`);

/** A service whose fsyncs fail for paths with one of these texts, as long as there are any. */
async function serviceOnFailingDisk(
  options: ServiceOptions = {},
): Promise<{ service: Service; fail: (...texts: string[]) => void }> {
  const library = "library" in preload ? preload.library : "";
  const service = await prepareService({ ...options, settings: { ...LOCAL.settings, "queue.retry_backoff_ms": 1 } });
  const list = join(service.folder, "failing");
  const env = { ...service.env, LD_PRELOAD: library, FAIL_FSYNC_WHILE: list };
  Object.assign(service, { env });
  await service.start();
  return {
    service,
    fail: (...texts) => (texts.length === 0 ? rmSync(list) : writeFileSync(list, texts.join("\n"))),
  };
}

/** A handler that never answers, and says that it was asked. */
const HUNG = `export default {
  prepare: () => (console.log("looking for ever"), new Promise(() => {})),
  *buildTasks() {},
};`;

describe.if("library" in preload)("an fsync that fails", () => {
  test.each(["queue", "ledger", "dlq"])(
    "while %s.db is made leaves no part of it, and the next start makes it",
    async (store) => {
      const library = "library" in preload ? preload.library : "";
      await using service = await prepareService({ settings: LOCAL.settings });
      const list = join(service.folder, "failing");
      const env = { ...service.env, LD_PRELOAD: library, FAIL_FSYNC_WHILE: list };
      writeFileSync(list, `${store}.db.new`);
      const refused = await runBinary(["serve"], { cwd: service.folder, env });
      expect([refused.code, refused.stderr]).toEqual([
        3,
        expect.stringContaining(`${store}.db: cannot be created: EIO`),
      ]);
      const left = readdirSync(service.folder, { recursive: true }).map(String);
      expect(left.filter((name) => name.includes(`${store}.db`))).toEqual([]);
      await service.start();
      expect(await service.stop()).toBe(0);
    },
  );

  test.each(["queue/queue.db-wal", "ledger/ledger.db", "dlq/dlq.db"])(
    "of %s ends the process with 3: no job is said to be accepted, and none that was is lost",
    async (path) => {
      await using origin = await startOrigin();
      const { service, fail } = await serviceOnFailingDisk();
      await using _ = service;
      const body = pattern(700, 3);
      const resources = [
        { id: "good", url: origin.serve("/good", body) },
        { id: "gone", url: `${origin.url}/gone` },
      ];
      const manifest = { manifest_version: "v1", resources };
      const before = await service.submit(manifest);
      await service.finished(before);
      fail(path);
      const answer = await service.post(manifest, { "idempotency-key": "k" });
      if (path.startsWith("queue")) {
        expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "10"]);
        expect(await answer.json()).toMatchObject({ code: "STORAGE_UNAVAILABLE" });
      }
      expect(await service.ended()).toBe(3);
      expect(service.log).toMatch(new RegExp(`"store":"[^"]*${path.replace("-wal", "")}"`));
      expect(service.takeStderr()).toContain("the content of the disk is unknown now");
      fail();
      await service.start();
      const again = await service.submit(manifest, { "idempotency-key": "k" });
      expect((await service.finished(again)).status).toBe("partial");
      const { jobs } = await service.get<{ jobs: unknown[] }>("/operators/jobs");
      expect(jobs.length).toBe(2);
      // Nothing is under way any more.
      await expectTrueBooks(
        service,
        LOCAL,
        before,
        new Map([
          ["good", body],
          ["gone", undefined],
        ]),
      );
      expect(await service.stop()).toBe(0);
      const checked = await runBinary(["verify", "--deep"], { cwd: service.folder, env: service.env });
      expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
    },
  );

  test("is told to those who wait for something else, before the process ends", async () => {
    const { service, fail } = await serviceOnFailingDisk({
      toml: '[handlers.hung]\nhandler = "hung.ts"\n',
      files: { "hung.ts": HUNG },
    });
    await using _ = service;
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: "http://127.0.0.1:9/" }] };
    const waiting = service.post(manifest, { "x-fetchbox-job-type": "hung" });
    await eventually("the handler is at it", () => service.log.includes("looking for ever") || undefined);
    fail("queue/queue.db-wal");
    const answers = await Promise.all([service.post(manifest), waiting]);
    for (const answer of answers) {
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "10"]);
      expect(await answer.json()).toMatchObject({ code: "STORAGE_UNAVAILABLE" });
    }
    expect(await service.ended()).toBe(3);
    expect(service.takeStderr()).toContain("the content of the disk is unknown now");
  });

  test("while the service is stopping ends it with 3, too, and loses nothing", async () => {
    await using origin = await startOrigin();
    const { service, fail } = await serviceOnFailingDisk();
    await using _ = service;
    const body = pattern(700, 3);
    const held = origin.hold("/held", body);
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
    await held.reached;
    service.signal("SIGTERM");
    await eventually("it is stopping", () => service.log.includes('"msg":"stopping;') || undefined);
    fail("queue/queue.db-wal");
    held.release();
    expect(await service.ended()).toBe(3);
    expect(service.log).not.toContain('"msg":"stopped"');
    expect(service.takeStderr()).toContain("the content of the disk is unknown now");
    fail();
    await service.start();
    expect((await service.finished(job)).status).toBe("completed");
    await expectTrueBooks(service, LOCAL, job, new Map([["held", body]]));
    expect(await service.stop()).toBe(0);
  });

  test("of the books of `run` ends it with 3", async () => {
    await using origin = await startOrigin();
    const folder = makeTemporaryFolder("run");
    const failing = join(folder, "failing");
    const held = origin.hold("/held", pattern(700, 3));
    const manifest = { manifest_version: "v1", resources: [{ id: "held", url: held.url }] };
    writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
    const run = runBinary(["run", "manifest.json", "--out", "objects"], {
      cwd: folder,
      env: {
        FETCHBOX__EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
        LD_PRELOAD: "library" in preload ? preload.library : "",
        FAIL_FSYNC_WHILE: failing,
        TMPDIR: folder,
      },
    });
    await held.reached;
    writeFileSync(failing, "queue.db-wal");
    held.release();
    const { code, stderr } = await run;
    expect([code, stderr]).toEqual([3, expect.stringContaining("the content of the disk is unknown now")]);
    expect(readdirSync(folder).filter((name) => name.startsWith("fetchbox-run"))).toEqual([]);
  });

  test("of an object fails the attempt alone, and a later one stores it anew", async () => {
    await using origin = await startOrigin();
    const { service, fail } = await serviceOnFailingDisk();
    await using _ = service;
    fail("/.uploads/");
    const body = pattern(5_000_000, 4);
    const small = pattern(500, 5);
    const held = [origin.hold("/large", body), origin.hold("/small", small)];
    const resources = [
      { id: "large", url: `${origin.url}/large` },
      { id: "small", url: `${origin.url}/small` },
    ];
    const refused = await service.post({ manifest_version: "v1", resources });
    expect(refused.status).toBe(503);
    fail("/nothing/");
    const job = await service.submit({ manifest_version: "v1", resources });
    fail("/.uploads/");
    for (const hold of held) hold.release();
    await eventually("an upload has failed", () => /"code":"UPLOAD_UNAVAILABLE"/.test(service.log) || undefined);
    fail();
    expect((await service.finished(job)).status).toBe("completed");
    await expectTrueBooks(
      service,
      LOCAL,
      job,
      new Map([
        ["large", body],
        ["small", small],
      ]),
    );
    expect(await service.stop()).toBe(0);
  });
});
