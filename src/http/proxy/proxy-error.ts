import { HttpError } from "../http-error.ts";

/** An HttpError `proxy`. Its code is the status of the answer to CONNECT, `SOCKS_` with the reply, or the cause's. */
export class ProxyError extends HttpError {
  /**
   * True if the proxy works but could not, or would not, reach this target. False if the proxy itself is at fault: it
   * is unreachable, refused the credentials, or broke its protocol.
   */
  readonly isAboutTarget: boolean;

  constructor(
    message: string,
    more: { readonly code?: string | undefined; readonly isAboutTarget?: boolean; readonly cause?: unknown } = {},
  ) {
    super("proxy", message, { code: more.code, phase: "tunnel", cause: more.cause });
    this.isAboutTarget = more.isAboutTarget ?? false;
  }
}
