import { Failure, type NamedFailureCode } from "../jobs/failure.ts";

/** Codes that Bun's fetch gives (measured on 1.4.5) and what they mean to us. */
const CODES: Readonly<Record<string, NamedFailureCode>> = {
  ECONNREFUSED: "DOWNLOAD_CONNECT_FAILED",
  ConnectionRefused: "DOWNLOAD_CONNECT_FAILED",
  FailedToOpenSocket: "DOWNLOAD_CONNECT_FAILED",
  EHOSTUNREACH: "DOWNLOAD_CONNECT_FAILED",
  ENETUNREACH: "DOWNLOAD_CONNECT_FAILED",
  EADDRNOTAVAIL: "DOWNLOAD_CONNECT_FAILED",
  ETIMEDOUT: "DOWNLOAD_CONNECT_FAILED",
  ECONNRESET: "DOWNLOAD_RESET",
  EPIPE: "DOWNLOAD_RESET",
  ConnectionClosed: "DOWNLOAD_RESET",
  Malformed_HTTP_Response: "DOWNLOAD_PROTOCOL_ERROR",
  InvalidContentLength: "DOWNLOAD_PROTOCOL_ERROR",
  HPE_HEADER_OVERFLOW: "DOWNLOAD_HEADERS_TOO_LARGE",
  TooManyHeaders: "DOWNLOAD_HEADERS_TOO_LARGE",
  ResponseHeadersTooLarge: "DOWNLOAD_HEADERS_TOO_LARGE",
};

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|ALTNAME|ISSUER|HOSTNAME_MISMATCH|ERR_TLS|ERR_SSL/;

/** What a failed fetch was, classified once, here. What was a `Failure` already, and an abort's reason, stay. */
export function fetchFailure(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  if (CERTIFICATE.test(code)) {
    return new Failure("DOWNLOAD_TLS_INVALID", `the certificate was refused (${code})`, { cause: error });
  }
  return new Failure(CODES[code] ?? "DOWNLOAD_PROTOCOL_ERROR", messageOf(code), { cause: error });
}

/** Whether another address of the same host may do better: nothing was sent yet. */
export function isConnectFailure(error: unknown): boolean {
  return CODES[codeOf(error)] === "DOWNLOAD_CONNECT_FAILED";
}

/**
 * Whether it was the proxy that failed: it could not be reached, or refused the tunnel. Names are no names of hosts
 * here, because hosts are asked for by address.
 */
export function isProxyFailure(error: unknown): boolean {
  return isConnectFailure(error) || /PROXY|ENOTFOUND|ENODATA|EAI_|DNS/i.test(codeOf(error));
}

/** Whether a proxy refused a tunnel for another reason than that it does not know us (407). */
export function isTunnelRefused(error: unknown): boolean {
  return codeOf(error) === "ERR_PROXY_TUNNEL" && (error as { status?: unknown }).status !== 407;
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : ((error as Error | undefined)?.name ?? "unknown");
}

function messageOf(code: string): string {
  switch (CODES[code]) {
    case "DOWNLOAD_CONNECT_FAILED":
      return `no connection (${code})`;
    case "DOWNLOAD_RESET":
      return "the connection was closed before the answer was complete";
    default:
      return `the answer is not HTTP as we know it (${code})`;
  }
}
