/** The name without the prefix for `https`. */
export const SESSION_COOKIE = "fetchbox_session";

/** Reads and writes the cookie that carries a session's id. */
export class SessionCookie {
  readonly #name: string;
  readonly #attributes: string;

  /** With `https` a browser accepts the cookie only from the service itself, over TLS (RFC 6265bis, section 4.1.3). */
  constructor(publicOrigin: string | undefined) {
    const isSecure = publicOrigin?.startsWith("https:") === true;
    this.#name = isSecure ? `__Host-${SESSION_COOKIE}` : SESSION_COOKIE;
    this.#attributes = `Path=/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
  }

  /** The ids that a request sends. There may be several, because other services of the same host may set cookies. */
  idsOf({ headers }: Request): string[] {
    return (headers.get("cookie") ?? "")
      .split(";")
      .map((pair) => pair.trim().split("="))
      .flatMap(([name, id, ...rest]) => (name === this.#name && id !== undefined && rest.length === 0 ? [id] : []));
  }

  /** The value of `Set-Cookie` that gives a browser the id. */
  set(id: string): string {
    return `${this.#name}=${id}; ${this.#attributes}`;
  }

  /** The value of `Set-Cookie` that removes the id from a browser. */
  clear(): string {
    return `${this.#name}=; ${this.#attributes}; Max-Age=0`;
  }
}
