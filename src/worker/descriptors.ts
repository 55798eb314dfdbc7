import { closeSync, openSync, readFileSync } from "node:fs";
import type { Failure, FailureCode } from "../jobs/failure.ts";
import type { Clock } from "../std/clock.ts";
import type { Layer } from "./service.ts";

/** What an idle service has open, and some more. */
const BASE = 32;
/** Kept back for the API and the stores. */
const RESERVE_MAX = 16;
/** Of a download: its connection, its upload's or its temporary file, and one that is about to be closed. */
const PER_WORKER = 3;
/** While fewer can be opened there are too few. */
const FREE_MIN = 4;
/** A shortage lasts at least so long: failures of this time are due to it. */
const SHORT_MS = 1000;

/** Failures that a want of descriptors can look like: the runtime calls it a refused connection or an unknown name. */
const MAY_BE_OURS: ReadonlySet<FailureCode> = new Set([
  "DOWNLOAD_CONNECT_FAILED",
  "DOWNLOAD_DNS_NOT_FOUND",
  "DOWNLOAD_DNS_TEMPORARY",
  "PROXY_EXHAUSTED",
  "UPLOAD_UNAVAILABLE",
]);

export interface DescriptorsDeps {
  readonly clock: Pick<Clock, "monotonic">;
  /** Most files and sockets that the process may have open; `undefined` where that is not known. */
  readonly limit: number | undefined;
  /** Closes what nobody needs now; called again and again while there are too few. */
  readonly relieve: () => void;
  /** Told once that there are too few. */
  readonly onShort: (problem: string) => void;
  /** Told that there are enough again. */
  readonly onEnough: () => void;
}

/**
 * The file descriptors of the process. A few are kept back, and let go when there are no others, so that the API still
 * takes connections then. No download begins until there are enough again.
 */
export class Descriptors {
  readonly #deps: DescriptorsDeps;
  readonly #reserve: number;
  #held: number[] = [];
  /** By the monotonic clock: when the want was last seen. */
  #shortAt: number | undefined;

  constructor(deps: DescriptorsDeps) {
    this.#deps = deps;
    this.#reserve = reserveOf(deps.limit);
    this.#hold();
  }

  /** For operators, while there are too few. */
  get problem(): string | undefined {
    if (this.#shortAt === undefined) return undefined;
    return "there are too few file descriptors (ulimit -n): no download begins until some are free";
  }

  /** Looks whether there are too few now. */
  isShort(): boolean {
    const isShort = !canOpen(FREE_MIN);
    if (isShort) this.#noteShort();
    return this.#shortAt !== undefined;
  }

  /** Whether a failure is due to a want of descriptors, and to nothing that was asked for. */
  isBehind(error: unknown): boolean {
    if (isOutOfDescriptors(error)) {
      this.#noteShort();
      return true;
    }
    const { code, httpStatus } = error as Failure;
    return httpStatus === undefined && MAY_BE_OURS.has(code) && this.isShort();
  }

  /** To be called now and then: finds out that there are too few, or enough again. */
  check(): void {
    if (this.#shortAt === undefined) return void this.isShort();
    this.#deps.relieve();
    if (this.#deps.clock.monotonic() - this.#shortAt < SHORT_MS) return;
    if (!canOpen(this.#reserve + FREE_MIN)) return;
    this.#hold();
    this.#shortAt = undefined;
    this.#deps.onEnough();
  }

  /** Lets go of what is kept back. */
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

/** What failed for a reason that the runtime does not tell, while there was no descriptor. */
export class OutOfDescriptorsError extends Error {
  override readonly name = "OutOfDescriptorsError";
  readonly code = "EMFILE";

  constructor(cause: unknown) {
    super("there are too few file descriptors", { cause });
  }
}

/** The failure of an attempt that had no descriptor costs nothing: the task is put back, and waits with all others. */
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

/** How many workers the limit has room for, at least one. */
export function workersThatFit(workers: number, limit: number | undefined): number {
  if (limit === undefined) return workers;
  return Math.max(1, Math.min(workers, Math.floor((limit - BASE - reserveOf(limit)) / PER_WORKER)));
}

/** The limit of which so many workers have enough. */
export function limitFor(workers: number): number {
  return BASE + RESERVE_MAX + workers * PER_WORKER;
}

/**
 * Most descriptors that this process may have; `undefined` where the system does not tell. Bun has raised the soft
 * limit to the hard one by then.
 */
export function readDescriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Whether an error, or what caused it, says that the process or the system has no descriptor left. */
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

/** Opens so many descriptors, or as many as there are. */
function openSome(count: number): number[] {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync("/dev/null", "r"));
  } catch (error) {
    if (!isOutOfDescriptors(error)) throw error;
  }
  return opened;
}
