import { SOCKS_CREDENTIAL_BYTES_MAX } from "../../net/socks-limits.ts";
import { Secret } from "./secret.ts";

type ProxyKind = "http" | "https" | "socks5";

interface ProxyEndpoint {
  readonly kind: ProxyKind;
  /** `scheme://host:port`, without userinfo and without the scheme's default port: safe to log. */
  readonly url: string;
  /** A name in ASCII, or an address without brackets. */
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
  "must begin with socks5://: FetchBox resolves names itself and sends the address that it has checked; " +
  "socks5h:// and SOCKS 4 are not supported";

/** The parts of an http, https or socks5 proxy's URL. Throws on any other text, without quoting it. */
export function parseProxyEndpoint(text: string): ProxyEndpoint {
  if (/^socks(?!5:)/i.test(text)) throw new Error(OTHER_SOCKS);
  // URL.parse accepts missing and extra slashes, backslashes and white space, which could hide userinfo.
  const [, scheme, authority] = /^(https?|socks5):\/\/([^/\\\s]+)\/?$/i.exec(text) ?? [];
  if (scheme === undefined || authority === undefined) throw new Error(FORM);
  const kind = kindOf(scheme);
  // The parser normalizes the hosts of known schemes only, so the scheme is http: here.
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

/** The endpoint with masked credentials. */
export function formatProxyEndpoint({ url, credentials }: ProxyEndpoint): string {
  return credentials === undefined ? url : url.replace("://", `://${credentials.password.toString()}@`);
}

/** The part of an endpoint that a file must not contain: the password, or a user without a password. */
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
      `must have a user of 1 to ${SOCKS_CREDENTIAL_BYTES_MAX} bytes and a password of at most ` +
        `${SOCKS_CREDENTIAL_BYTES_MAX} bytes, because it is a SOCKS proxy`,
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
