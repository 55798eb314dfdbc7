import type { TaskState } from "../task.ts";

/** Tasks in the states that are not final. */
export type Depth = Readonly<Record<Extract<TaskState, "pending" | "running" | "retrying">, number>>;
