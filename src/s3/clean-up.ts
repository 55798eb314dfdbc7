import { Failure } from "../jobs/failure.ts";
import { createDeadline } from "./deadline.ts";

/** A service that hangs must not hold up a shutdown for long. */
const CLEAN_UP_MS = 10_000;

/**
 * Runs the removal of what an upload left, under a signal of its own: the upload's may be the reason for it.
 * Never throws, and takes 10 s at most. What stays is removed at the next start, from what `onOpen` was told.
 */
export async function cleanUp(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const never = new AbortController().signal;
  const clock = createDeadline(
    never,
    CLEAN_UP_MS,
    () => new Failure("UPLOAD_TIMEOUT", "S3 takes too long to clean up"),
  );
  try {
    await work(clock.signal);
  } catch {
    // An abort has nobody to tell.
  } finally {
    clock.end();
  }
}
