import { expect, test } from "bun:test";
import { ReadSource } from "../../src/sqlite/file/read-only.ts";
import { PROJECTION_CHECKS } from "../../src/verify/projection-checks.ts";
import { QUEUE_CHECKS } from "../../src/verify/queue-checks.ts";
import { attachAll } from "../../src/verify/snapshot.ts";
import { openTestStores } from "../support/stores.ts";

interface Step {
  readonly parent: number;
  readonly detail: string;
}

/** Whether SQLite would read all rows of one table for each row of another. A list of states or groups is no table. */
function isNested(plan: readonly Step[]): boolean {
  const scans = plan.filter(({ detail }) => detail.startsWith("SCAN ") && !detail.includes("VIRTUAL TABLE"));
  const loops = Map.groupBy(scans, ({ parent }) => parent);
  return (
    scans.some(({ detail }) => / (?:LEFT|RIGHT|FULL)-JOIN/.test(detail)) ||
    [...loops.values()].some((l) => l.length > 1)
  );
}

test("the time of a check grows with the rows, and not with their square", async () => {
  await using stores = openTestStores();
  using sources = new DisposableStack();
  const db = attachAll(
    (["queue", "ledger", "dlq"] as const).map((name) => sources.use(new ReadSource(stores.path(name)))),
  );
  sources.defer(() => db.close());
  const nested = [...QUEUE_CHECKS, ...PROJECTION_CHECKS].filter(({ sql }) =>
    isNested(db.query<Step, []>(`EXPLAIN QUERY PLAN ${sql}`).all()),
  );
  expect(nested.map(({ rule }) => rule)).toEqual([]);
});
