import { createConnector } from "../../src/http/connect.ts";
import { ProxyError } from "../../src/http/proxy/proxy-error.ts";
import { type OpenRouteOptions, openRoute, type Route, type Target } from "../../src/http/route.ts";
import type { Transport } from "../../src/http/transport/transport.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";

export const LOOPBACK = ["127.0.0.1"];
export const LIMITS = { connectTimeoutMs: 1000, tlsTimeoutMs: 500, tunnelTimeoutMs: 700 };

/** Opens a route with a connector and a clock of its own. */
export function open(
  route: Route,
  target: Target,
  more: Partial<OpenRouteOptions> & { readonly clock?: FakeClock } = {},
): Promise<Transport> {
  const { clock = new FakeClock(), ...options } = more;
  const signal = new AbortController().signal;
  return openRoute(createConnector({ clock }), { route, target, limits: LIMITS, signal, ...options });
}

/** What a promise rejects with, where it must be a ProxyError. */
export async function proxyErrorOf(attempt: Promise<unknown>): Promise<ProxyError> {
  const error = await rejectionOf(attempt);
  if (error instanceof ProxyError) return error;
  throw new Error("rejected with something that is no ProxyError", { cause: error });
}
