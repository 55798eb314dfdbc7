import { type Depth } from "../../jobs/stores/queue-control.ts";
import { RECOUNT_DEPTH } from "../counters.ts";
import type { Changes } from "../group-commit.ts";
import type { QueueContext } from "./queue-context.ts";

export function readDepth(context: QueueContext): Depth {
  const depth = { pending: 0, running: 0, retrying: 0 };
  const rows = context.db.query<{ state: keyof Depth; tasks: number }, []>("SELECT state, tasks FROM depth").all();
  for (const row of rows) depth[row.state] = row.tasks;
  return depth;
}

/** Writes the combined changes of a commit's members to the depth. Runs inside their transaction, after all rows. */
export function writeDepth(context: Pick<QueueContext, "db" | "onDrift">, changes: Changes): void {
  const add = context.db.query<never, [number, string]>("UPDATE OR IGNORE depth SET tasks = tasks + ? WHERE state = ?");
  for (const [state, tasks] of changes.depth) {
    if (tasks === 0 || add.run(tasks, state).changes > 0) continue;
    context.db.query<never, []>(RECOUNT_DEPTH).run();
    changes.after("notify", () => context.onDrift("depth"));
    return;
  }
}
