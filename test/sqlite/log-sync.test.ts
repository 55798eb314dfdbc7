import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../../src/sqlite/database.ts";
import { type CommitLog, GroupCommit, type GroupCommitOptions } from "../../src/sqlite/group-commit.ts";
import { LogSync, SyncError } from "../../src/sqlite/log-sync.ts";
import queueSchema from "../../src/sqlite/migrations/queue-001.sql" with { type: "text" };
import { type Follower, Outbox } from "../../src/sqlite/outbox.ts";
import { JobCache } from "../../src/sqlite/queue/context.ts";
import { TaskQueue } from "../../src/sqlite/queue.ts";
import { isBroken } from "../../src/sqlite/store-error.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { rejectionOf } from "../support/rejection.ts";
import { makeFolder } from "../support/stores.ts";
import { acceptance } from "./sample-jobs.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = makeFolder();
  path = join(folder, "queue.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A disk that is done when the test says so. */
class Disk implements CommitLog {
  isQuick = false;
  /** Syncs that were made while everything waited. */
  waits = 0;
  /** Syncs that were begun beside. */
  begun = 0;
  #done: ((error?: Error) => void) | undefined;

  now(): void {
    this.waits++;
  }

  begin(done: (error?: Error) => void): void {
    if (this.#done !== undefined) throw new Error("one is under way");
    this.begun++;
    this.#done = done;
  }

  end(error?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }
}

describe("a commit that is made durable beside", () => {
  const open = () =>
    openDatabase({ path, migrations: ["CREATE TABLE rows (name TEXT) STRICT"], synchronous: "NORMAL" });
  let db: Database;
  let disk: Disk;
  let told: string[];
  beforeEach(() => {
    db = open();
    disk = new Disk();
    told = [];
  });
  afterEach(() => db.close());

  const groupCommit = (options: Partial<GroupCommitOptions> = {}) =>
    new GroupCommit(db, { gatherMs: 1_000_000, membersMax: 64, seal: () => {}, log: disk, ...options });
  const write = (commit: GroupCommit, name: string) =>
    commit
      .run((changes) => {
        db.query<never, [string]>("INSERT INTO rows VALUES (?)").run(name);
        changes.afterCommit.push(() => told.push(`${name} committed`));
        changes.onceDurable.push(() => told.push(`${name} durable`));
      })
      .then(() => told.push(`${name} resolved`));

  test("is followed in memory at once, and told of when it is durable", async () => {
    const commit = groupCommit();
    const a = write(commit, "a");
    commit.flush();
    await Promise.resolve();
    expect(told).toEqual(["a committed"]);
    disk.end();
    await a;
    expect(told).toEqual(["a committed", "a durable", "a resolved"]);
  });

  test("shares the next sync with what is committed meanwhile, and is told of in its order", async () => {
    const commit = groupCommit();
    const a = write(commit, "a");
    commit.flush();
    const b = write(commit, "b");
    commit.flush();
    const c = write(commit, "c");
    commit.flush();
    expect(disk.begun).toBe(1);
    disk.end();
    await a;
    expect(disk.begun).toBe(2);
    expect(told).not.toContain("b durable");
    disk.end();
    await Promise.all([b, c]);
    expect(told.filter((text) => !text.endsWith("committed"))).toEqual([
      "a durable",
      "a resolved",
      "b durable",
      "c durable",
      "b resolved",
      "c resolved",
    ]);
    expect(disk.begun).toBe(2);
  });

  test("lets members gather until the sync before it is done", async () => {
    const commits: number[] = [];
    const commit = groupCommit({ membersMax: 2, onCommit: (_, members) => commits.push(members) });
    const all = ["a", "b", "c", "d", "e"].map((name) => write(commit, name));
    expect(told).toEqual(["a committed", "b committed"]);
    disk.end();
    disk.end();
    await Promise.all(all);
    expect(commits).toEqual([2, 3]);
  });

  test("is durable at once for who cannot wait, and told of once", async () => {
    const commit = groupCommit();
    const a = write(commit, "a");
    commit.flush();
    commit.sync();
    await a;
    expect(disk.waits).toBe(1);
    const b = write(commit, "b");
    commit.flush();
    expect(disk.begun).toBe(1);
    disk.end(); // that of a
    expect(disk.begun).toBe(2);
    expect(told).not.toContain("b durable");
    disk.end();
    await b;
    expect(told.filter((text) => text.endsWith("durable"))).toEqual(["a durable", "b durable"]);
  });

  test("is not left to another thread where the disk is quick", async () => {
    const commit = groupCommit();
    disk.isQuick = true;
    const a = write(commit, "a");
    commit.flush();
    expect([disk.waits, disk.begun]).toEqual([1, 0]);
    await a;
  });

  test("rejects those it was for if the sync fails, whoever else waits for it, and says so", async () => {
    const failures: unknown[] = [];
    const commit = groupCommit({ onFailed: (error) => failures.push(error) });
    const a = rejectionOf(write(commit, "a"));
    commit.flush();
    const b = rejectionOf(write(commit, "b"));
    commit.flush();
    const error = new SyncError("the disk is gone");
    disk.end(error);
    expect([await a, await b]).toEqual([error, error]);
    expect(failures).toEqual([error]);
    expect(isBroken(error)).toBe(true);
    expect(told.filter((text) => text.endsWith("durable"))).toEqual([]);
  });

  test("is left in doubt by who halts", async () => {
    const commit = groupCommit();
    const a = rejectionOf(write(commit, "a"));
    commit.flush();
    const b = rejectionOf(write(commit, "b"));
    const reason = new Error("halted");
    commit.halt(reason);
    disk.end();
    expect([await a, await b]).toEqual([reason, reason]);
    expect(told).toEqual(["a committed"]);
  });
});

test("followers get nothing that is not durable, and all of it when somebody reads", async () => {
  const db = openDatabase({ path, migrations: [queueSchema], synchronous: "NORMAL" });
  const applied: number[] = [];
  const follower: Follower = {
    path: "follower.db",
    appliedSeq: () => applied.length,
    apply: (first, batches) => batches.forEach((_, at) => applied.push(first + at)),
    checkpoint: () => applied.length,
  };
  const outbox = new Outbox(db, path, [follower], () => {});
  const disk = new Disk();
  const queue = new TaskQueue({
    db,
    outbox,
    jobs: new JobCache(db),
    clock: new FakeClock(),
    log: disk,
    onFailed: () => {},
  });
  const first = queue.accept(acceptance());
  await eventually("a sync is begun", () => disk.begun === 1 || undefined);
  outbox.deliver();
  outbox.replay();
  expect([outbox.last, applied]).toEqual([0, []]);
  disk.end();
  await first;
  expect([outbox.last, applied]).toEqual([1, [1]]);
  const second = queue.accept(acceptance());
  await eventually("another is begun", () => disk.begun === 2 || undefined);
  expect(applied).toEqual([1]);
  expect(queue.depth().pending).toBe(2);
  expect([disk.waits, applied]).toEqual([1, [1, 2]]);
  await second;
  db.close();
});

describe("the log on a real disk", () => {
  test("is synced in both ways, and tells that it is gone", async () => {
    const db = openDatabase({ path, migrations: ["CREATE TABLE rows (name TEXT) STRICT"], synchronous: "NORMAL" });
    db.run("INSERT INTO rows VALUES ('a')");
    const log = new LogSync(path);
    expect(log.isQuick).toBe(true);
    log.now();
    expect(await new Promise((resolve) => log.begin(resolve))).toBeUndefined();
    log.close();
    db.close(); // takes the log away
    const gone = new LogSync(path);
    expect(() => gone.now()).toThrow(SyncError);
    expect(await new Promise((resolve) => gone.begin(resolve))).toBeInstanceOf(SyncError);
  });
});
