import { Failure } from "../../jobs/failure.ts";
import { createDeadline } from "./client/request-deadline.ts";

/** A service that hangs must not hold up a shutdown for long. */
const CLEAN_UP_MS = 10_000;

/**
 * Runs the removal of an upload's remains under a signal of its own: the upload's signal may be aborted. Never throws,
 * and takes 10 s at most. False where it failed: the remains are removed later, by the record of `onOpen`.
 */
export async function cleanUp(work: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
  const never = new AbortController().signal;
  const clock = createDeadline(
    never,
    CLEAN_UP_MS,
    () => new Failure("UPLOAD_TIMEOUT", "S3 takes too long to clean up"),
  );
  try {
    await work(clock.signal);
    return true;
  } catch {
    return false;
  } finally {
    clock.end();
  }
}
