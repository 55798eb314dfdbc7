import type { Log } from "../../telemetry/log.ts";
import type { Metrics, SignInFailure } from "../../telemetry/metrics.ts";

/** A request with a missing or an unknown token. */
interface FailedSignIn {
  readonly requestId: string;
  /** IP address of the client. */
  readonly address: string;
  readonly method: string;
  readonly route: string;
  readonly reason: SignInFailure;
}

export interface SignInReports {
  readonly log: Pick<Log, "warn">;
  readonly metrics: Pick<Metrics, "signInFailed">;
}

/** Logs a failed sign-in of any method, without the token that was sent. */
export function logFailedSignIn(log: SignInReports["log"], { requestId, reason, ...fields }: FailedSignIn): void {
  log.warn({ request_id: requestId, ...fields, reason }, `sign-in failed: the token is ${reason}`);
}
