import { ConfigError } from "../config/config-error.ts";
import { HandlerLoadError } from "../intake/handlers/file-handler.ts";
import { Failure } from "../jobs/failure.ts";
import { isBroken, isBusy, isDiskFull, isForbidden, StoreError, StoreLockedError } from "../jobs/stores/store-error.ts";

/** What the process ends with (contract, section 6). */
export const EXIT = { done: 0, failed: 1, usage: 2, store: 3, locked: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line cannot be carried out as it stands; the message says why and what to do. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** The work was tried and failed. */
export class WorkFailedError extends Error {
  override readonly name: string = "WorkFailedError";
}

/** The code for an error that ends a command; `undefined` for one that nobody foresaw. */
export function exitCodeOf(error: unknown): ExitCode | undefined {
  if (error instanceof ConfigError || error instanceof UsageError || error instanceof HandlerLoadError)
    return EXIT.usage;
  if (error instanceof WorkFailedError || error instanceof Failure) return EXIT.failed;
  // Nothing is wrong with a store that a full disk has no room for.
  if (isDiskFull(error) || (error instanceof StoreError && isDiskFull(error.cause))) return EXIT.failed;
  // Nor with one that this user may not use: another path or owner puts that right.
  if (error instanceof StoreError && isForbidden(error.cause)) return EXIT.usage;
  if (error instanceof StoreLockedError || (error instanceof StoreError && isBusy(error.cause))) return EXIT.locked;
  if (error instanceof StoreError) return EXIT.store;
  // SQLite came upon damage that opening the stores did not show.
  if (isBroken(error)) return EXIT.store;
  return undefined;
}
