import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { DeadLetterSchema } from "../gen/fetchbox/v1/dead_letter_pb.ts";
import {
  AttemptHistorySchema,
  type AttemptSchema,
  type Attempt as StoredAttempt,
  type Task as StoredTask,
  TaskSchema,
} from "../gen/fetchbox/v1/task_pb.ts";
import type { Attempt, Task } from "../jobs/task.ts";

/** A `Task` message, as queue.db keeps it. */
export function encodeTask(task: Task): Uint8Array {
  return toBinary(TaskSchema, taskMessage(task));
}

export function decodeTask(payload: Uint8Array): Task {
  return taskOf(fromBinary(TaskSchema, payload));
}

/** An `AttemptHistory` message, or nothing where there was no attempt. */
export function encodeHistory(history: readonly Attempt[]): Uint8Array | null {
  if (history.length === 0) return null;
  return toBinary(AttemptHistorySchema, create(AttemptHistorySchema, historyMessage(history)));
}

export function decodeHistory(history: Uint8Array | null): readonly Attempt[] {
  return history === null ? [] : fromBinary(AttemptHistorySchema, history).attempts.map(attemptOf);
}

/** The task and its attempts of a `DeadLetter` message. */
export function decodeLetter(letter: Uint8Array): { task: Task; history: readonly Attempt[] } {
  const message = fromBinary(DeadLetterSchema, letter);
  if (message.task === undefined) throw new Error("a dead letter without its task");
  return { task: taskOf(message.task), history: message.history?.attempts.map(attemptOf) ?? [] };
}

/** Whole, so that nobody has to make a message of it: there is one for every task. */
export function taskMessage(task: Task): StoredTask {
  const message: StoredTask = {
    $typeName: "fetchbox.v1.Task",
    resourceId: task.resourceId,
    url: task.url,
    headers: task.headers === undefined ? {} : { ...task.headers },
    tags: task.tags === undefined ? {} : { ...task.tags },
    bucket: task.bucket,
    key: task.key,
    checksum: task.checksum ?? "",
    contentType: task.contentType ?? "",
    rejectHtml: task.rejectHtml ?? false,
    proxyPool: task.proxyPool ?? "",
  };
  if (task.size !== undefined) message.size = task.size;
  return message;
}

export function historyMessage(history: readonly Attempt[]): MessageInitShape<typeof AttemptHistorySchema> {
  return { attempts: history.map(attemptMessage) };
}

export function attemptMessage(attempt: Attempt): MessageInitShape<typeof AttemptSchema> {
  return {
    startedAt: attempt.startedAt,
    durationMs: attempt.durationMs,
    code: attempt.code,
    message: attempt.message,
    httpStatus: attempt.httpStatus ?? 0,
    address: attempt.address ?? "",
    proxy: attempt.proxy ?? "",
    bytes: attempt.bytes,
    bodyStart: Buffer.from(attempt.bodyStart ?? "", "hex"),
  };
}

export function taskOf(message: StoredTask): Task {
  return {
    resourceId: message.resourceId,
    url: message.url,
    headers: message.headers,
    tags: message.tags,
    bucket: message.bucket,
    key: message.key,
    ...(message.checksum !== "" && { checksum: message.checksum }),
    ...(message.size !== undefined && { size: message.size }),
    ...(message.contentType !== "" && { contentType: message.contentType }),
    rejectHtml: message.rejectHtml,
    ...(message.proxyPool !== "" && { proxyPool: message.proxyPool }),
  };
}

export function attemptOf(message: StoredAttempt): Attempt {
  return {
    startedAt: message.startedAt,
    durationMs: message.durationMs,
    code: message.code,
    message: message.message,
    ...(message.httpStatus !== 0 && { httpStatus: message.httpStatus }),
    ...(message.address !== "" && { address: message.address }),
    ...(message.proxy !== "" && { proxy: message.proxy }),
    bytes: message.bytes,
    ...(message.bodyStart.length > 0 && { bodyStart: Buffer.from(message.bodyStart).toString("hex") }),
  };
}
