import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { isDiskFull } from "../../src/jobs/stores/store-error.ts";
import { openDatabase } from "../../src/sqlite/file/database.ts";
import { GroupCommit, type GroupCommitOptions } from "../../src/sqlite/group-commit.ts";
import { rejectionOf } from "../support/rejection.ts";
import { makeFolder } from "../support/stores.ts";

const SCHEMA = "CREATE TABLE rows (name TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '') STRICT";

let folder: string;
let db: Database;
beforeEach(() => {
  folder = makeFolder();
  db = openDatabase({ path: join(folder, "some.db"), migrations: [SCHEMA], synchronous: "FULL" });
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

function groupCommit(options: Partial<GroupCommitOptions> = {}): GroupCommit {
  return new GroupCommit(db, { gatherMs: 1000, membersMax: 64, seal: () => {}, ...options });
}

const write = (name: string, body = "") => {
  db.query<never, [string, string]>("INSERT INTO rows VALUES (?, ?)").run(name, body);
  return name;
};
const rows = () =>
  db
    .query<{ name: string }, []>("SELECT name FROM rows ORDER BY name")
    .all()
    .map(({ name }) => name);

describe("members of a commit", () => {
  test("share one transaction and get what their work returned", async () => {
    const commits: number[] = [];
    const commit = groupCommit({ onCommit: (_, members) => commits.push(members) });
    const all = Promise.all(["a", "b", "c"].map((name) => commit.run(() => write(name))));
    expect(rows()).toEqual([]);
    commit.flush();
    expect(await all).toEqual(["a", "b", "c"]);
    expect(rows()).toEqual(["a", "b", "c"]);
    expect(commits).toEqual([3]);
  });

  test("are committed without a call to flush", async () => {
    const commit = groupCommit({ gatherMs: 1 });
    expect(await commit.run(() => write("a"))).toBe("a");
    expect(await commit.run(() => write("b"))).toBe("b");
  });

  test("are committed at once when there are enough of them", async () => {
    const commit = groupCommit({ gatherMs: 1_000_000, membersMax: 2 });
    expect(await Promise.all([commit.run(() => write("a")), commit.run(() => write("b"))])).toEqual(["a", "b"]);
  });

  test("are alone in being rolled back and rejected if they throw", async () => {
    const commit = groupCommit();
    const first = commit.run((changes) => {
      changes.stateChanged("pending", 1);
      return write("a");
    });
    const told: string[] = [];
    const second = commit.run((changes) => {
      changes.stateChanged("pending", 100);
      changes.after("notify", () => told.push("second"));
      write("b");
      throw new Error("no");
    });
    const third = commit.run(() => write("c"));
    commit.flush();
    expect(await rejectionOf(second)).toEqual(new Error("no"));
    expect([await first, await third]).toEqual(["a", "c"]);
    expect(rows()).toEqual(["a", "c"]);
    expect(told).toEqual([]);
  });

  test("are alone in being rolled back if a constraint refuses them", async () => {
    const commit = groupCommit();
    const first = commit.run(() => write("a"));
    const second = commit.run(() => [write("b"), write("a")]);
    const third = commit.run(() => write("c"));
    commit.flush();
    expect(String(await rejectionOf(second))).toContain("UNIQUE");
    await Promise.all([first, third]);
    expect(rows()).toEqual(["a", "c"]);
  });

  test("that throw do not reach the seal", async () => {
    const sealed: unknown[] = [];
    const commit = groupCommit({ seal: (changes) => sealed.push(...changes.depth, ...changes.counts) });
    const good = commit.run((changes) => changes.stateChanged("pending", 2));
    const also = commit.run((changes) => {
      changes.stateChanged("pending", 3);
      changes.addCount(7, "failed");
      changes.addCount(7, "completed", 2);
    });
    const bad = commit.run((changes) => {
      changes.stateChanged("running", 1);
      throw new Error("no");
    });
    commit.flush();
    await Promise.all([good, also, rejectionOf(bad)]);
    expect(sealed).toEqual([
      ["pending", 5],
      [7, { completed: 2, failed: 1, cancelled: 0, letters: 0 }],
    ]);
  });
});

describe("after a commit", () => {
  test("actions run in the order of the members, those of the seal last, and before any member is resolved", async () => {
    const order: string[] = [];
    const commit = groupCommit({ seal: (changes) => changes.after("notify", () => order.push("seal")) });
    const runs = ["a", "b"].map((name) =>
      commit
        .run((changes) => {
          changes.after("notify", () => order.push(`${name} after, in transaction: ${db.inTransaction}`));
        })
        .then(() => order.push(`${name} told`)),
    );
    commit.flush();
    await Promise.all(runs);
    const after = ["a after, in transaction: false", "b after, in transaction: false", "seal"];
    expect(order).toEqual([...after, "a told", "b told"]);
  });

  test("an action that throws takes neither the others nor the members along", async () => {
    const order: string[] = [];
    const commit = groupCommit();
    const run = commit.run((changes) => {
      changes.after("notify", () => {
        throw new Error("a listener failed");
      });
      changes.after("notify", () => order.push("second action"));
      return write("a");
    });
    expect(() => commit.flush()).toThrow("a listener failed");
    expect(await run).toBe("a");
    expect(order).toEqual(["second action"]);
  });

  test("an action may begin the next commit", async () => {
    const commit = groupCommit({ membersMax: 1 });
    const { promise, resolve } = Promise.withResolvers<string>();
    await commit.run((changes) => changes.after("notify", () => resolve(commit.run(() => write("b")))));
    expect(await promise).toBe("b");
  });
});

describe("a commit that fails", () => {
  test("on a full disk rejects all its members and leaves no row; work continues when there is room", async () => {
    const commit = groupCommit();
    const before = commit.run(() => write("before"));
    commit.flush();
    await before;
    const pages = db.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count ?? 0;
    db.run(`PRAGMA max_page_count = ${pages}`);
    const told: string[] = [];
    const members = ["a", "b"].map((name) =>
      commit.run((changes) => {
        changes.after("notify", () => told.push(name));
        return write(name, "x".repeat(100_000));
      }),
    );
    commit.flush();
    const errors = await Promise.all(members.map(rejectionOf));
    expect(errors.map(isDiskFull)).toEqual([true, true]);
    expect(rows()).toEqual(["before"]);
    expect(told).toEqual([]);
    expect(db.inTransaction).toBe(false);

    db.run("PRAGMA max_page_count = 100000");
    const after = commit.run(() => write("after"));
    commit.flush();
    expect(await after).toBe("after");
    expect(rows()).toEqual(["after", "before"]);
  });

  test("in its seal rejects all its members and leaves no row", async () => {
    let fails = true;
    const commit = groupCommit({
      seal: () => {
        if (fails) throw new Error("the seal failed");
      },
    });
    const members = ["a", "b"].map((name) => commit.run(() => write(name)));
    commit.flush();
    for (const member of members) expect(String(await rejectionOf(member))).toContain("the seal failed");
    expect(rows()).toEqual([]);
    fails = false;
    const again = commit.run(() => write("a"));
    commit.flush();
    expect(await again).toBe("a");
  });

  test("because another connection writes rejects its members; the next one succeeds", async () => {
    const other = openDatabase({ path: join(folder, "some.db"), migrations: [SCHEMA], synchronous: "FULL" });
    other.run("BEGIN IMMEDIATE");
    const commit = groupCommit();
    const locked = commit.run(() => write("a"));
    commit.flush();
    expect(String(await rejectionOf(locked))).toContain("locked");
    other.run("ROLLBACK");
    other.close();
    const next = commit.run(() => write("b"));
    commit.flush();
    expect(await next).toBe("b");
  });

  test("because the store was closed rejects what was gathering", async () => {
    const commit = groupCommit({ gatherMs: 1 });
    const late = commit.run(() => write("a"));
    db.close();
    expect(await rejectionOf(late)).toBeInstanceOf(Error);
  });

  test("because a member ended the whole transaction rejects all its members", async () => {
    const commit = groupCommit();
    const first = commit.run(() => write("a"));
    const second = commit.run(() => {
      db.run("ROLLBACK"); // as SQLite does by itself on some I/O errors
      throw new Error("disk I/O error");
    });
    const third = commit.run(() => write("c"));
    commit.flush();
    for (const member of [first, second, third]) expect(String(await rejectionOf(member))).toContain("disk I/O error");
    expect(rows()).toEqual([]);
  });
});
