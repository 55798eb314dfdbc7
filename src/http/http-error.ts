/**
 * The reason why an exchange failed. Callers map the kind to their own codes; no code depends on a message.
 *
 * | kind | meaning |
 * |---|---|
 * | `connect` | no connection: refused, unreachable, no address left |
 * | `timeout` | a limit of the client passed; `phase` names it |
 * | `tls` | the certificate was refused, or the peer answered the handshake with an alert |
 * | `reset` | the connection broke before the answer was complete: a reset, a broken pipe, a TLS error in the middle |
 * | `closed` | the connection was closed properly before the head of the answer was complete |
 * | `truncated` | the connection was closed properly within a body whose end the head announces |
 * | `protocol` | the answer breaks RFC 9112 in a way that leaves its meaning open, or the peer does not speak TLS |
 * | `head-too-large` | the head has more bytes or fields than allowed |
 * | `proxy` | the proxy failed, or refused the tunnel |
 */
export type HttpErrorKind =
  | "connect"
  | "timeout"
  | "tls"
  | "reset"
  | "closed"
  | "truncated"
  | "protocol"
  | "head-too-large"
  | "proxy";

/** The part of an exchange that a limit belongs to. */
type Phase = "connect" | "tls" | "tunnel" | "head";

export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly kind: HttpErrorKind;
  /** The code of the system, OpenSSL or the proxy, if there is one: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, `407`. */
  readonly code: string | undefined;
  readonly phase: Phase | undefined;

  constructor(
    kind: HttpErrorKind,
    message: string,
    more: { readonly code?: string | undefined; readonly phase?: Phase; readonly cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.kind = kind;
    this.code = more.code;
    this.phase = more.phase;
  }
}
