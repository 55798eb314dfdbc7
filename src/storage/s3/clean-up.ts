/** A service that hangs must not hold up a shutdown for long. */
const CLEAN_UP_MS = 10_000;

/**
 * Runs the removal of an upload's remains under a signal of its own: the upload's signal may be aborted. Never throws,
 * and takes 10 s at most. False where it failed: the remains are removed later, by the record of `onOpen`.
 */
export async function cleanUp(work: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
  try {
    await work(AbortSignal.timeout(CLEAN_UP_MS));
    return true;
  } catch {
    return false;
  }
}
