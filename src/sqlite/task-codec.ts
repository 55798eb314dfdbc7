import { DeadLetter } from "../gen/fetchbox/v1/dead_letter.ts";
import {
  AttemptHistory,
  type Pair,
  type Attempt as StoredAttempt,
  type ObjectAttributes as StoredAttributes,
  Task as StoredTask,
} from "../gen/fetchbox/v1/task.ts";
import type { ObjectAttributes } from "../jobs/object-attributes.ts";
import type { AttemptRecord, Task } from "../jobs/task.ts";

/** A `Task` message as queue.db stores it. */
export function encodeTask(task: Task): Uint8Array {
  return StoredTask.encode(taskMessage(task)).finish();
}

export function decodeTask(payload: Uint8Array): Task {
  return taskOf(StoredTask.decode(payload));
}

/** An `AttemptHistory` message, or `null` if there was no attempt. */
export function encodeHistory(history: readonly AttemptRecord[]): Uint8Array | null {
  if (history.length === 0) return null;
  return AttemptHistory.encode(historyMessage(history)).finish();
}

export function decodeHistory(history: Uint8Array | null): readonly AttemptRecord[] {
  return history === null ? [] : AttemptHistory.decode(history).attempts.map(attemptOf);
}

/** The task of a `DeadLetter` message, with its attempts. */
export function decodeDeadLetter(letter: Uint8Array): { task: Task; history: readonly AttemptRecord[] } {
  const message = DeadLetter.decode(letter);
  if (message.task === undefined) throw new Error("a dead letter without its task");
  return { task: taskOf(message.task), history: message.history?.attempts.map(attemptOf) ?? [] };
}

export function taskMessage(task: Task): StoredTask {
  return {
    resourceId: task.resourceId,
    url: task.url,
    headers: pairsOf(task.headers),
    tags: pairsOf(task.tags),
    bucket: task.bucket,
    key: task.key,
    checksum: task.checksum ?? "",
    size: task.size,
    contentType: task.contentType ?? "",
    rejectHtml: task.rejectHtml ?? false,
    proxyPool: task.proxyPool ?? "",
    attributes: task.attributes === undefined ? undefined : attributesMessage(task.attributes),
  };
}

function attributesMessage({ metadata, tags, class: storageClass }: ObjectAttributes): StoredAttributes {
  return { metadata: pairsOf(metadata), tags: pairsOf(tags), storageClass: storageClass ?? "" };
}

function attributesOf({ metadata, tags, storageClass }: StoredAttributes): ObjectAttributes {
  return {
    ...(metadata.length > 0 && { metadata: recordOf(metadata) }),
    ...(tags.length > 0 && { tags: recordOf(tags) }),
    ...(storageClass !== "" && { class: storageClass }),
  };
}

function pairsOf(record: Readonly<Record<string, string>> = {}): Pair[] {
  return Object.entries(record).map(([name, value]) => ({ name, value }));
}

/** A record with any names, `__proto__` included. */
function recordOf(pairs: readonly Pair[]): Readonly<Record<string, string>> {
  return Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
}

export function historyMessage(history: readonly AttemptRecord[]): AttemptHistory {
  return { attempts: history.map(attemptMessage) };
}

export function attemptMessage(attempt: AttemptRecord): StoredAttempt {
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

function taskOf(message: StoredTask): Task {
  return {
    resourceId: message.resourceId,
    url: message.url,
    headers: recordOf(message.headers),
    tags: recordOf(message.tags),
    bucket: message.bucket,
    key: message.key,
    ...(message.checksum !== "" && { checksum: message.checksum }),
    ...(message.size !== undefined && { size: message.size }),
    ...(message.contentType !== "" && { contentType: message.contentType }),
    rejectHtml: message.rejectHtml,
    ...(message.proxyPool !== "" && { proxyPool: message.proxyPool }),
    ...(message.attributes !== undefined && { attributes: attributesOf(message.attributes) }),
  };
}

function attemptOf(message: StoredAttempt): AttemptRecord {
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
