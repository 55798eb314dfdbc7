import type { TaskState } from "../../jobs/task.ts";
import type { Changes } from "../group-commit.ts";
import type { QueueContext } from "./context.ts";

/** Tasks in the states that are not final. */
export type Depth = Readonly<Record<Extract<TaskState, "pending" | "running" | "retrying">, number>>;

export function readDepth(context: QueueContext): Depth {
  const depth = { pending: 0, running: 0, retrying: 0 };
  const rows = context.db.query<{ state: keyof Depth; tasks: number }, []>("SELECT state, tasks FROM depth").all();
  for (const row of rows) depth[row.state] = row.tasks;
  return depth;
}

/** Writes what a commit's members changed together. Runs inside their transaction. */
export function writeDepth(context: Pick<QueueContext, "db">, changes: Changes): void {
  const add = context.db.query<never, [number, string]>("UPDATE depth SET tasks = tasks + ? WHERE state = ?");
  for (const [state, tasks] of changes.depth) if (tasks !== 0) add.run(tasks, state);
}
