import { closeSync, openSync, readFileSync } from "node:fs";
import type { Failure, FailureCode } from "../jobs/failure.ts";
import type { Clock } from "../std/clock.ts";
import type { Layer } from "./service.ts";

/** The descriptors of an idle service, with a margin. */
const BASE = 32;
/** The reserve for the API and the stores. */
const RESERVE_MAX = 16;
/** A download has its connection, its upload's or its temporary file, and one descriptor that is about to close. */
const PER_WORKER = 3;
/** There is a shortage while fewer can be opened. */
const FREE_MIN = 4;
/** Enough for the workers of a large service to connect at the same time. */
const HANGING_CONNECTS_MAX = 1024;
/** For a system that does not report its limit. */
const LIMIT_AT_LEAST = 1024;
/** The minimum length of a shortage, in milliseconds: failures in this time are due to it. */
const SHORT_MS = 1000;

/** The failures that a shortage can cause: the runtime reports a refused connection or an unknown name. */
const MAY_BE_OURS: ReadonlySet<FailureCode> = new Set([
  "DOWNLOAD_CONNECT_FAILED",
  "DOWNLOAD_DNS_NOT_FOUND",
  "DOWNLOAD_DNS_TEMPORARY",
  "PROXY_EXHAUSTED",
  "UPLOAD_UNAVAILABLE",
]);

interface DescriptorsDeps {
  readonly clock: Pick<Clock, "monotonic">;
  /** Most files and sockets that the process may have open; `undefined` where that is unknown. */
  readonly limit: number | undefined;
  /** Closes idle descriptors; called repeatedly during a shortage. */
  readonly relieve: () => void;
  /** Called once when a shortage starts. */
  readonly onShort: (problem: string) => void;
  /** Called when the shortage is over. */
  readonly onEnough: () => void;
}

/**
 * Watches the file descriptors of the process. A few are held in reserve and released in a shortage, so that the API
 * still takes connections. No download starts until the shortage is over.
 */
export class Descriptors {
  readonly #deps: DescriptorsDeps;
  readonly #reserve: number;
  #held: number[] = [];
  /** The latest sign of the shortage, by the monotonic clock. */
  #shortAt: number | undefined;

  constructor(deps: DescriptorsDeps) {
    this.#deps = deps;
    this.#reserve = reserveOf(deps.limit);
    this.#hold();
  }

  /** A message for operators; `undefined` without a shortage. */
  get problem(): string | undefined {
    if (this.#shortAt === undefined) return undefined;
    return "there are too few file descriptors (ulimit -n): no download starts until some are free";
  }

  /** Whether there is a shortage now. */
  isShort(): boolean {
    const isShort = !canOpen(FREE_MIN);
    if (isShort) this.#noteShort();
    return this.#shortAt !== undefined;
  }

  /** Whether a failure is due to a shortage of descriptors. */
  isBehind(error: unknown): boolean {
    if (isOutOfDescriptors(error)) {
      this.#noteShort();
      return true;
    }
    const { code, httpStatus } = error as Failure;
    return httpStatus === undefined && MAY_BE_OURS.has(code) && this.isShort();
  }

  /** Detects the start and the end of a shortage; to be called periodically. */
  check(): void {
    if (this.#shortAt === undefined) return void this.isShort();
    this.#deps.relieve();
    if (this.#deps.clock.monotonic() - this.#shortAt < SHORT_MS) return;
    if (!canOpen(this.#reserve + FREE_MIN)) return;
    this.#hold();
    this.#shortAt = undefined;
    this.#deps.onEnough();
  }

  /** Releases the reserve. */
  close(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  #noteShort(): void {
    const isNews = this.#shortAt === undefined;
    this.#shortAt = this.#deps.clock.monotonic();
    if (!isNews) return;
    this.close();
    this.#deps.onShort(this.problem ?? "");
    this.#deps.relieve();
  }

  #hold(): void {
    this.#held = openSome(this.#reserve);
  }
}

/** A failure during a shortage, for which the runtime reports another reason. */
export class OutOfDescriptorsError extends Error {
  override readonly name = "OutOfDescriptorsError";
  readonly code = "EMFILE";

  constructor(cause: unknown) {
    super("there are too few file descriptors", { cause });
  }
}

/** Puts a task back whose attempt failed for want of a descriptor; no attempt is spent. */
export function descriptorGuard(descriptors: Pick<Descriptors, "isBehind" | "problem">): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      // The broker dispatched the task before the shortage. The last descriptors are for the API and the stores.
      if (descriptors.problem !== undefined) return { kind: "interrupted", by: "no descriptors" };
      try {
        const outcome = await inner.call(attempt);
        if (outcome.kind !== "failed" || !descriptors.isBehind(outcome.failure)) return outcome;
      } catch (error) {
        if (!isOutOfDescriptors(error) || !descriptors.isBehind(error)) throw error;
      }
      return { kind: "interrupted", by: "no descriptors" };
    },
  });
}

/** The number of workers that the limit has room for, at least one. */
export function workersThatFit(workers: number, limit: number | undefined): number {
  if (limit === undefined) return workers;
  return Math.max(1, Math.min(workers, Math.floor((limit - BASE - reserveOf(limit)) / PER_WORKER)));
}

/** Most connects that may keep a descriptor for two minutes after they were given up. */
export function hangingConnectsThatFit(limit: number | undefined): number {
  return Math.min(HANGING_CONNECTS_MAX, Math.floor((limit ?? LIMIT_AT_LEAST) / 8));
}

/** The limit that this number of workers needs. */
export function limitFor(workers: number): number {
  return BASE + RESERVE_MAX + workers * PER_WORKER;
}

/**
 * Most descriptors that this process may have; `undefined` where the system does not report it. Bun has raised the soft
 * limit to the hard one before.
 */
export function readDescriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Whether an error or one of its causes means that the process or the system has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && (cause.code === "EMFILE" || cause.code === "ENFILE")) return true;
  }
  return false;
}

function reserveOf(limit = Number.POSITIVE_INFINITY): number {
  return Math.min(RESERVE_MAX, Math.floor(limit / 8));
}

function canOpen(count: number): boolean {
  const opened = openSome(count);
  for (const fd of opened) closeSync(fd);
  return opened.length === count;
}

/** Opens this number of descriptors, or all that are left. */
function openSome(count: number): number[] {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync("/dev/null", "r"));
  } catch (error) {
    if (!isOutOfDescriptors(error)) throw error;
  }
  return opened;
}
