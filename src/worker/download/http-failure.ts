import { HttpError, type HttpErrorKind } from "../../http/http-error.ts";
import { Failure, type NamedFailureCode } from "../../jobs/failure.ts";

/** The failure code for each error of the HTTP client. A proxy's own errors are handled before. */
const CODES: Readonly<Record<HttpErrorKind, NamedFailureCode>> = {
  connect: "DOWNLOAD_CONNECT_FAILED",
  timeout: "DOWNLOAD_TIMEOUT",
  tls: "DOWNLOAD_TLS_INVALID",
  reset: "DOWNLOAD_RESET",
  closed: "DOWNLOAD_RESET",
  truncated: "DOWNLOAD_TRUNCATED",
  protocol: "DOWNLOAD_PROTOCOL_ERROR",
  "head-too-large": "DOWNLOAD_HEADERS_TOO_LARGE",
  proxy: "PROXY_EXHAUSTED",
};

/** The failure for an error of the HTTP client. Any other error, and the reason of an abort, stays as it is. */
export function toFailure(error: unknown): unknown {
  if (!(error instanceof HttpError)) return error;
  return new Failure(CODES[error.kind], error.message, { cause: error });
}
