import { Secret } from "./secret.ts";

export interface ProxyEndpoint {
  /** `http://host:port` or `https://host:port`, without userinfo: safe to log. */
  readonly url: string;
  /** `user:password` as it goes into `Proxy-Authorization: Basic`, percent-decoded. */
  readonly credentials: Secret | undefined;
}

const FORM = 'must be a proxy\'s address like "http://proxy.example.com:8080", without path or query';

/** Splits a proxy's URL. Throws, without the URL in the message, on what is no http or https proxy. */
export function parseProxyEndpoint(text: string): ProxyEndpoint {
  if (/^socks/i.test(text)) throw new Error("must be an http or https proxy; SOCKS is not supported");
  // URL.parse forgives missing and extra slashes, backslashes and white space; userinfo could hide behind them.
  if (!/^https?:\/\/[^/\\\s]+\/?$/i.test(text)) throw new Error(FORM);
  const url = URL.parse(text);
  if (url === null || url.search !== "" || url.hash !== "") throw new Error(FORM);
  return { url: url.origin, credentials: credentialsOf(url) };
}

/** The endpoint with its credentials masked. */
export function formatProxyEndpoint(endpoint: ProxyEndpoint): string {
  if (endpoint.credentials === undefined) return endpoint.url;
  return endpoint.url.replace("://", `://${endpoint.credentials.toString()}@`);
}

/** The part of an endpoint that must not stand in a file: the password, or a user without one. */
export function proxyEndpointSecret(text: string): string {
  const userinfo = /^https?:\/\/([^/\\?#]*)@/i.exec(text)?.[1];
  if (userinfo === undefined) return text.includes("@") ? text : "";
  return userinfo.slice(userinfo.indexOf(":") + 1);
}

function credentialsOf(url: URL): Secret | undefined {
  if (url.username === "" && url.password === "") return undefined;
  try {
    return new Secret(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`);
  } catch {
    throw new Error("must have well-formed percent-encoding in its user and password");
  }
}
