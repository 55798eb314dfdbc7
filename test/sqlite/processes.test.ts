import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { StoreLockedError } from "../../src/jobs/stores/store-error.ts";
import { acceptance } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

const PROGRAM = join(import.meta.dir, "accepting-process.ts");

function spawnAccepting(folder: string) {
  return Bun.spawn([process.execPath, PROGRAM, folder], { stdout: "pipe", stderr: "inherit" });
}

/** Kills the process once it has printed `lines`; gives all whole lines that came. */
async function killAfter(child: ReturnType<typeof spawnAccepting>, lines: number): Promise<string[]> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.split("\n").length > lines) child.kill("SIGKILL");
  }
  await child.exited;
  return text.split("\n").slice(0, -1);
}

describe("jobs that were acknowledged", () => {
  test("are there after SIGKILL, whole and once, and nothing half made is", async () => {
    await using stores = openTestStores();
    stores.close();
    const acknowledged: string[] = [];
    for (const lines of [1, 50, 300]) {
      const [ready, ...jobs] = await killAfter(spawnAccepting(stores.folder), lines);
      expect(ready).toBe("ready");
      acknowledged.push(...jobs);
    }
    stores.open();
    await stores.queue.recover(() => Promise.resolve());

    const found = stores.read<{ job_id: string; total: number; n: number }>(
      "queue",
      "SELECT job_id, total, count(tasks.id) AS n FROM jobs JOIN tasks ON tasks.job = jobs.seq GROUP BY jobs.seq",
    );
    const lines = new Set(found.map(({ job_id: id, n }) => `${id} ${n}`));
    expect(acknowledged.length).toBeGreaterThan(300);
    expect(acknowledged.filter((line) => !lines.has(line))).toEqual([]);
    expect(found.filter(({ total, n }) => total !== n)).toEqual([]);
    expect(stores.read("queue", "SELECT * FROM jobs WHERE status = 'staged'")).toEqual([]);
    for (const line of acknowledged.slice(-20)) {
      expect((await stores.stores.ledger.findJob(line.split(" ")[0] ?? ""))?.status).toBe("queued");
    }
    await expectTrueCounters(stores);
    expect(stores.read<unknown>("queue", "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  test("are there when the stores were closed without ceremony", async () => {
    await using stores = openTestStores();
    const some = acceptance(3);
    await stores.now(stores.queue.acceptor.accept(some));
    stores.crash();
    expect((await stores.stores.ledger.findJob(some.job.jobId))?.total).toBe(3);
    expect((await stores.queue.control.depth()).pending).toBe(3);
    await expectTrueCounters(stores);
  });
});

describe("a folder of stores", () => {
  test("is held by one process: a second one is told so, and reads on", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(2)));
    const second = await new Response(spawnAccepting(stores.folder).stdout).text();
    expect(second).toBe("StoreLockedError\n");
    expect(stores.read("queue", "SELECT tasks FROM depth WHERE state = 'pending'")).toEqual([{ tasks: 2 }]);
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    await expectTrueCounters(stores);
  });

  test("is held against this process, too, and free once the stores are closed", async () => {
    await using stores = openTestStores();
    expect(() => stores.open()).toThrow(StoreLockedError);
    stores.reopen();
    expect((await stores.queue.control.depth()).pending).toBe(0);
  });

  test("is free as soon as its process was killed", async () => {
    await using stores = openTestStores();
    stores.close();
    await killAfter(spawnAccepting(stores.folder), 1);
    stores.open();
    await readersAreNotDisturbed(stores);
  });
});

/** A snapshot that somebody reads neither sees nor stops what is written meanwhile. */
async function readersAreNotDisturbed(stores: TestStores): Promise<void> {
  using reader = new Database(stores.path("queue"), { readonly: true });
  const count = () => reader.query<{ n: number }, []>("SELECT count(*) AS n FROM jobs").get()?.n;
  reader.run("BEGIN");
  const before = count();
  await stores.now(stores.queue.acceptor.accept(acceptance()));
  expect(count()).toBe(before);
  reader.run("COMMIT");
  expect(count()).toBe((before ?? 0) + 1);
}
