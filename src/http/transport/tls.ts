import { HttpError } from "../http-error.ts";

export interface TlsOptions {
  /**
   * The DNS name for SNI (RFC 6066, section 3) and for the certificate (RFC 9525), without a trailing dot. Undefined:
   * the URL has an IP address, and the certificate must name that address.
   */
  readonly serverName: string | undefined;
  /** Further authorities in PEM, beside the default roots and those of NODE_EXTRA_CA_CERTS. */
  readonly ca: readonly string[] | undefined;
}

/** The protocol list of ALPN: each name follows its length (RFC 7301, section 3.1). */
export const ALPN_HTTP_1_1: Uint8Array = new TextEncoder().encode("\x08http/1.1");

const REFUSED_CERTIFICATES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  CERT_REVOKED: "the certificate was revoked",
  CERT_UNTRUSTED: "the certificate is not trusted",
  CERT_REJECTED: "the certificate is not trusted",
  CERT_SIGNATURE_FAILURE: "the certificate's signature is wrong",
  CERT_CHAIN_TOO_LONG: "the certificate chain is too long",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "the certificate chain ends in a self-signed certificate that is not trusted",
  UNABLE_TO_GET_ISSUER_CERT: "the certificate's authority is unknown",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the certificate's authority is unknown",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate's authority is unknown, or the server leaves out a certificate",
  INVALID_CA: "the certificate's authority may not sign certificates",
  INVALID_PURPOSE: "the certificate is not meant for servers",
};

/** Reasons of BoringSSL for a first record that is not a TLS record. */
const NOT_TLS = ["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "INVALID_SSL_RECORD"];

/**
 * The HttpError for a failed handshake: `tls`, `protocol` if the peer does not speak TLS, or `closed` if the peer
 * closed the connection during the handshake.
 */
export function handshakeError(error: Error | null, name: string): HttpError {
  if (error !== null && isDisconnect(error)) return handshakeCut(undefined);
  const code = error === null ? undefined : tlsCode(error);
  return new HttpError(
    isNotTls(code) ? "protocol" : "tls",
    `${handshakeWords(code, name)}${code === undefined ? "" : ` (${code})`}`,
    {
      code,
      phase: "tls",
      ...(error !== null && { cause: error }),
    },
  );
}

function isNotTls(code: string | undefined): boolean {
  return code !== undefined && NOT_TLS.includes(code.replace(/^ERR_SSL_/, ""));
}

/** The HttpError for an end during the handshake: `closed` if the peer closed it properly, `reset` if not. */
export function handshakeCut(error: Error | undefined): HttpError {
  if (error === undefined) {
    return new HttpError("closed", "the server closed the connection during the TLS handshake", { phase: "tls" });
  }
  const code = systemCode(error);
  if (isTlsCode(tlsCode(error))) return handshakeError(error, "");
  const words = `the connection broke during the TLS handshake (${code ?? error.message})`;
  return new HttpError("reset", words, { code, phase: "tls", cause: error });
}

/**
 * The error that ended an open stream. With TLS 1.3 a server refuses a client without a certificate only after the
 * handshake, so an alert before any data is an HttpError `tls`. Any other error is returned as it is.
 */
export function brokenStream(error: Error, hasReceived: boolean): Error {
  const code = tlsCode(error);
  if (!hasReceived && code !== undefined && isTlsCode(code) && code.includes("_ALERT_"))
    return handshakeError(error, "");
  return error;
}

/** The `code` of an error of the system or of node; `undefined` if it has none. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The code in one spelling: Bun's sockets give EPROTO, with OpenSSL's reason at the end of the message. */
function tlsCode(error: Error): string | undefined {
  const code = systemCode(error);
  if (code !== "EPROTO") return code;
  const reason = /:([A-Z0-9_]+)$/.exec(error.message)?.[1];
  return reason === undefined ? code : `ERR_SSL_${reason}`;
}

function isTlsCode(code: string | undefined): boolean {
  return code?.startsWith("ERR_SSL_") === true || code === "EPROTO";
}

/** True for a proper close during the handshake, which Bun and node report with the code of a reset. */
function isDisconnect(error: Error): boolean {
  return systemCode(error) === "ECONNRESET" && error.message.startsWith("Client network socket disconnected");
}

function handshakeWords(code: string | undefined, name: string): string {
  if (code === undefined) return "the certificate was refused";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `the certificate is not for ${name}`;
  const refusal = REFUSED_CERTIFICATES[code];
  if (refusal !== undefined) return refusal;
  if (!isTlsCode(code)) return "the certificate was refused";
  const reason = code.replace(/^ERR_SSL_/, "");
  if (isNotTls(code)) return "the server does not speak TLS on this port";
  const alert = /_ALERT_(.+)$/.exec(reason)?.[1];
  if (alert === "CERTIFICATE_REQUIRED") return "the server demands a client certificate";
  if (alert !== undefined) {
    return `the server answered the TLS handshake with an alert: ${alert.toLowerCase().replaceAll("_", " ")}`;
  }
  if (reason === "UNSUPPORTED_PROTOCOL") return "the server offers no TLS version from 1.2 on";
  return "the TLS handshake failed";
}
