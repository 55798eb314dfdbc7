import type { BulkOperation, DeadLetterChanges } from "../../jobs/stores/dead-letter-changes.ts";
import type { BulkOperationRunner } from "../../operations/bulk-operation-runner.ts";
import { ApiError } from "../http/errors.ts";
import { json } from "../http/json-response.ts";
import { OPERATION_EXAMPLE } from "../openapi/schema-examples.ts";
import type { Endpoint } from "./endpoint.ts";
import { operationRow } from "./operation-row.ts";

interface OperationEndpointsDeps {
  readonly desk: Pick<DeadLetterChanges, "operation" | "operations">;
  readonly operations: Pick<BulkOperationRunner, "stop">;
}

/** What goes on, or did, with dead letters in the background. */
export function operationEndpoints(deps: OperationEndpointsDeps): Endpoint[] {
  return [listOperations(deps), readOperation(deps), stopOperation(deps)];
}

const ENDED = { ...OPERATION_EXAMPLE, status: "stopped", finished_at: "2026-11-23T12:02:00.000Z" };

function listOperations({ desk }: OperationEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/dlq/operations",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "List replays and give-ups by a filter, the latest first",
      description: "Those that run, and the last hundred that ended.",
      answers: {
        200: { description: "All of them.", schema: "OperationList", example: { operations: [OPERATION_EXAMPLE] } },
      },
    },
    answer: async () => json({ operations: (await desk.operations()).map(operationRow) }),
  };
}

function readOperation({ desk }: OperationEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/dlq/operations/:operation_id",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "Read how far a replay or a give-up has come",
      answers: { 200: { description: "How far it is.", schema: "Operation", example: OPERATION_EXAMPLE } },
      errors: ["NOT_FOUND"],
    },
    answer: async ({ params }) => json(operationRow(found(await desk.operation(idOf(params))))),
  };
}

function stopOperation({ operations }: OperationEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/operations/:operation_id/stop",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Stop a replay or a give-up where it is",
      description: "What it did stays done. Nothing happens where it has ended.",
      answers: { 200: { description: "How far it came.", schema: "Operation", example: ENDED } },
      errors: ["NOT_FOUND", "DISK_FULL"],
    },
    answer: async ({ params }) => json(operationRow(found(await operations.stop(idOf(params))))),
  };
}

/** 0, which is nobody's, where it is no id at all. */
function idOf({ operation_id: id = "" }: Readonly<Record<string, string>>): number {
  return /^\d{1,15}$/.test(id) ? Number(id) : 0;
}

/** @throws ApiError NOT_FOUND */
function found(operation: BulkOperation | undefined): BulkOperation {
  if (operation === undefined)
    throw new ApiError("NOT_FOUND", { message: "there is no such operation, or it ended long ago" });
  return operation;
}
