import { Failure } from "../../src/jobs/failure.ts";

/** What a promise rejects with. Throws where it does not. */
export async function rejectionOf(attempt: Promise<unknown>): Promise<unknown> {
  try {
    await attempt;
  } catch (error) {
    return error;
  }
  throw new Error("the promise did not reject");
}

/** The same, where it must be a `Failure`. */
export async function failureOf(attempt: Promise<unknown>): Promise<Failure> {
  const error = await rejectionOf(attempt);
  if (error instanceof Failure) return error;
  throw new Error("rejected with something that is no Failure", { cause: error });
}
