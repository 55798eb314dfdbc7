import { SOCKS_CREDENTIAL_BYTES_MAX } from "../../net/socks-limits.ts";
import { Secret } from "./secret.ts";

export type ProxyKind = "http" | "https" | "socks5";

export interface ProxyEndpoint {
  readonly kind: ProxyKind;
  /** `scheme://host:port`, without userinfo and without the scheme's own port: safe to log. */
  readonly url: string;
  /** A name in ASCII or an address, the latter without brackets. */
  readonly host: string;
  readonly port: number;
  /** Percent-decoded. */
  readonly credentials: { readonly username: Secret; readonly password: Secret } | undefined;
}

const DEFAULT_PORTS: Readonly<Record<ProxyKind, number>> = { http: 80, https: 443, socks5: 1080 };
const FORM =
  'must be a proxy\'s address like "http://proxy.example.com:8080" or "socks5://proxy.example.com:1080", ' +
  "without path or query";
const OTHER_SOCKS =
  "must be written socks5://: FetchBox resolves names itself and sends the address that it has checked, " +
  "so there is no socks5h://, and SOCKS 4 is not supported";

/** Splits a proxy's URL. Throws, without the URL in the message, if it is no http, https or socks5 proxy. */
export function parseProxyEndpoint(text: string): ProxyEndpoint {
  if (/^socks(?!5:)/i.test(text)) throw new Error(OTHER_SOCKS);
  // URL.parse forgives missing and extra slashes, backslashes and white space; userinfo could hide behind them.
  const [, scheme, authority] = /^(https?|socks5):\/\/([^/\\\s]+)\/?$/i.exec(text) ?? [];
  if (scheme === undefined || authority === undefined) throw new Error(FORM);
  const kind = kindOf(scheme);
  // As http:, because the parser leaves the hosts of schemes that it does not know as they are written.
  const url = URL.parse(`http://${authority}`);
  const port = Number(/:(\d+)$/.exec(authority)?.[1] ?? DEFAULT_PORTS[kind]);
  if (url === null || url.search !== "" || url.hash !== "" || port === 0) throw new Error(FORM);
  return {
    kind,
    url: `${kind}://${url.hostname}${port === DEFAULT_PORTS[kind] ? "" : `:${port}`}`,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port,
    credentials: credentialsOf(url, kind),
  };
}

/** The endpoint with its credentials masked. */
export function formatProxyEndpoint({ url, credentials }: ProxyEndpoint): string {
  return credentials === undefined ? url : url.replace("://", `://${credentials.password.toString()}@`);
}

/** The part of an endpoint that must not stand in a file: the password, or a user without one. */
export function proxyEndpointSecret(text: string): string {
  const userinfo = /^(?:https?|socks[a-z0-9]*):\/\/([^/\\?#]*)@/i.exec(text)?.[1];
  if (userinfo === undefined) return text.includes("@") ? text : "";
  return userinfo.slice(userinfo.indexOf(":") + 1);
}

function kindOf(scheme: string): ProxyKind {
  const lower = scheme.toLowerCase();
  return lower === "socks5" || lower === "https" ? lower : "http";
}

function credentialsOf(url: URL, kind: ProxyKind): ProxyEndpoint["credentials"] {
  if (url.username === "" && url.password === "") return undefined;
  const [username, password] = [url.username, url.password].map(decoded);
  if (username === undefined || password === undefined) {
    throw new Error("must have well-formed percent-encoding in its user and password");
  }
  if (kind === "socks5" && (username === "" || [username, password].some(isTooLongForSocks))) {
    throw new Error(
      `must have a user of 1 to ${SOCKS_CREDENTIAL_BYTES_MAX} bytes and a password of at most as many, for SOCKS`,
    );
  }
  return { username: new Secret(username), password: new Secret(password) };
}

function isTooLongForSocks(text: string): boolean {
  return Buffer.byteLength(text) > SOCKS_CREDENTIAL_BYTES_MAX;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
