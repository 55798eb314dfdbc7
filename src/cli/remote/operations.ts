import type { OperationRow } from "../../api/openapi/schemas.ts";
import { delay, systemClock } from "../../std/clock.ts";
import { WorkFailedError } from "../exit-code.ts";
import { table } from "../terminal/table.ts";
import { terminalLine } from "../terminal/terminal-line.ts";
import { durationText } from "../terminal/units.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

const POLL_MS = 500;

const COLUMNS = [
  { title: "OPERATION", isNumber: true },
  { title: "KIND", expendable: 1 },
  { title: "STATUS" },
  { title: "DONE", isNumber: true },
  { title: "OF", isNumber: true },
  { title: "AGE", isNumber: true, expendable: 3 },
  { title: "FILTER", isElastic: true, expendable: 2 },
] as const;

export async function listOperations(flags: RemoteFlags, remote: Remote): Promise<void> {
  const list = await remote.client.get<{ operations: readonly OperationRow[] }>("/operators/dlq/operations");
  answer(remote, flags, list, ({ operations }) =>
    operations.length === 0 ? "no bulk operations\n" : table(COLUMNS, operations.map(rowOf), remote.width),
  );
}

export async function stopOperation(id: string, flags: RemoteFlags, remote: Remote): Promise<void> {
  const path = `/operators/dlq/operations/${encodeURIComponent(id)}/stop`;
  answer(remote, flags, await remote.client.post<OperationRow>(path), (operation) => `${textOf(operation)}\n`);
}

/** Waits until a background operation ends, and shows its progress on a terminal. */
export async function followOperation(started: OperationRow, { client, env }: Remote): Promise<OperationRow> {
  const screen = await terminalLine(env);
  let operation = started;
  while (operation.status === "running") {
    screen?.(`${textOf(operation)}; it continues after Ctrl-C`);
    await delay(systemClock, POLL_MS, new AbortController().signal);
    operation = await client.get<OperationRow>(`/operators/dlq/operations/${started.operation_id}`);
  }
  screen?.clear();
  if (operation.status === "failed") throw new WorkFailedError(`${textOf(operation)}: ${operation.error}`);
  return operation;
}

function textOf({ operation_id: id, kind, status, changed, matched }: OperationRow): string {
  const verb = kind === "replay" ? "replayed" : "discarded";
  return `operation ${id} ${status}: ${changed} of ${matched} ${verb}`;
}

function rowOf(operation: OperationRow): string[] {
  const filter = Object.entries(operation.filter).map(([name, value]) => `${name}=${value}`);
  return [
    String(operation.operation_id),
    operation.kind,
    operation.status,
    String(operation.changed),
    String(operation.matched),
    durationText((systemClock.now() - Date.parse(operation.started_at)) / 1000),
    filter.length === 0 ? "all" : filter.join(" "),
  ];
}
