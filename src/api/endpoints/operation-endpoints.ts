import type { BulkOperation, DeadLetterChanges } from "../../jobs/stores/dead-letter-changes.ts";
import type { BulkOperationRunner } from "../../operations/bulk-operation-runner.ts";
import { ApiError } from "../http/errors.ts";
import { json } from "../http/json-response.ts";
import { OPERATION_EXAMPLE } from "../openapi/schema-examples.ts";
import type { Endpoint } from "./endpoint.ts";
import { operationRow } from "./operation-row.ts";

interface OperationEndpointsDeps {
  readonly changes: Pick<DeadLetterChanges, "operation" | "operations">;
  readonly operations: Pick<BulkOperationRunner, "stop">;
}

/** Endpoints of the operations on dead letters that run in the background. */
export function operationEndpoints(deps: OperationEndpointsDeps): Endpoint[] {
  return [listOperations(deps), readOperation(deps), stopOperation(deps)];
}

const ENDED = { ...OPERATION_EXAMPLE, status: "stopped", finished_at: "2026-11-23T12:02:00.000Z" };

function listOperations({ changes }: OperationEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/dlq/operations",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "List operations on dead letters",
      description:
        "Lists the replays and discards by filter, newest first: those that run, and the latest 100 that ended.",
      answers: {
        200: { description: "The operations.", schema: "OperationList", example: { operations: [OPERATION_EXAMPLE] } },
      },
    },
    answer: async () => json({ operations: (await changes.operations()).map(operationRow) }),
  };
}

function readOperation({ changes }: OperationEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/dlq/operations/:operation_id",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "Read an operation on dead letters",
      description: "Poll this endpoint to follow a replay or a discard by filter.",
      answers: { 200: { description: "The progress.", schema: "Operation", example: OPERATION_EXAMPLE } },
      errors: ["NOT_FOUND"],
    },
    answer: async ({ params }) => json(operationRow(found(await changes.operation(idOf(params))))),
  };
}

function stopOperation({ operations, changes }: OperationEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/operations/:operation_id/stop",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Stop an operation on dead letters",
      description:
        "Dead letters that it processed stay replayed or discarded. An operation that has ended is unchanged.",
      answers: { 200: { description: "The final progress.", schema: "Operation", example: ENDED } },
      errors: ["NOT_FOUND", "DISK_FULL"],
    },
    answer: async ({ params, recordActivity }) => {
      const before = found(await changes.operation(idOf(params)));
      const after = found(await operations.stop(before.id));
      if (before.state === "running" && after.state === "stopped")
        recordActivity({ action: "stop", target: `operation ${after.id}`, count: after.changed });
      return json(operationRow(after));
    },
  };
}

/** The id in the path; 0, which no operation has, for a malformed one. */
function idOf({ operation_id: id = "" }: Readonly<Record<string, string>>): number {
  return /^\d{1,15}$/.test(id) ? Number(id) : 0;
}

/** @throws ApiError NOT_FOUND */
function found(operation: BulkOperation | undefined): BulkOperation {
  if (operation === undefined)
    throw new ApiError("NOT_FOUND", { message: "the operation does not exist, or it ended long ago" });
  return operation;
}
