import { ConfigError } from "../config/config-error.ts";
import { HandlerLoadError } from "../intake/handlers/file-handler.ts";
import { Failure } from "../jobs/failure.ts";
import {
  isBroken,
  isBusy,
  isDiskFull,
  isForbidden,
  StoreError,
  StoreLockedError,
  UpgradeBackupError,
} from "../jobs/stores/store-error.ts";

/** The exit codes of the process. */
export const EXIT = { done: 0, failed: 1, usage: 2, store: 3, locked: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit codes in words, for the manual page. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  [EXIT.done]: "The command is done.",
  [EXIT.failed]: "The work failed.",
  [EXIT.usage]: "The command line or the configuration is wrong.",
  [EXIT.store]: "A store is damaged or missing; the message names the file, and nothing was changed.",
  [EXIT.locked]: "Another process holds the data directory.",
};

/** The command line is wrong; the message names the reason and the remedy. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** The command tried the work, and the work failed. */
export class WorkFailedError extends Error {
  override readonly name: string = "WorkFailedError";
}

/** The code for an error that ends a command; `undefined` for an unexpected error. */
export function exitCodeOf(error: unknown): ExitCode | undefined {
  if (error instanceof ConfigError || error instanceof UsageError || error instanceof HandlerLoadError)
    return EXIT.usage;
  if (error instanceof WorkFailedError || error instanceof Failure) return EXIT.failed;
  // A full disk does not damage a store.
  if (isDiskFull(error) || (error instanceof StoreError && isDiskFull(error.cause))) return EXIT.failed;
  if (error instanceof UpgradeBackupError) return isForbidden(error.cause) ? EXIT.usage : EXIT.failed;
  // A store that this user may not open is not damaged: another path or owner is the remedy.
  if (error instanceof StoreError && isForbidden(error.cause)) return EXIT.usage;
  if (error instanceof StoreLockedError || (error instanceof StoreError && isBusy(error.cause))) return EXIT.locked;
  if (error instanceof StoreError) return EXIT.store;
  // SQLite found damage that the opening of the stores did not show.
  if (isBroken(error)) return EXIT.store;
  return undefined;
}
