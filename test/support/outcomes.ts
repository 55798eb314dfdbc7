import type { Failure } from "../../src/jobs/failure.ts";
import type { Outcome } from "../../src/jobs/verdict.ts";

export const STORED: Outcome = {
  kind: "stored",
  result: {
    finalUrl: "http://origin.test/file",
    httpStatus: 200,
    bytes: 1,
    integrity: "verified",
    sha256: "",
    etag: "",
    contentType: "x/y",
    contentEncoding: undefined,
    storageUrl: "file:///file",
    startedAt: 0,
  },
};

export function failedWith(failure: Failure, httpStatus = failure.httpStatus): Outcome {
  const { code, message } = failure;
  const status = httpStatus !== undefined && { httpStatus };
  return { kind: "failed", failure, attempt: { startedAt: 0, durationMs: 0, code, message, bytes: 0, ...status } };
}

/** Work that goes on until it is told to stop, and then throws why. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
