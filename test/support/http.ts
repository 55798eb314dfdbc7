import { createHttpClient, type HttpClient } from "../../src/http/http-client.ts";
import { type Clock, systemClock } from "../../src/std/clock.ts";

export const HTTP_LIMITS = { headBytesMax: 64 * 1024, fieldsMax: 5000 };

/** A client with the limits of the service. */
export function testClient(clock: Clock = systemClock): HttpClient {
  return createHttpClient({ clock, limits: HTTP_LIMITS });
}

/** For clients of addresses: there is no name to look up. */
export function noNames(name: string): Promise<readonly string[]> {
  return Promise.reject(new Error(`nobody can look up ${name}`));
}
