import type { Config, HandlerConfig } from "../../config/schema.ts";
import { Secret } from "../../config/values/secret.ts";
import type { RequestHeaders } from "../../net/request-header.ts";
import { ConfiguredHeaders, type HandlerHeaders } from "../../worker/configured-headers.ts";

type HeaderTable = HandlerConfig["default_headers"];

/** The headers of the configuration that each request gets when it is made. */
export function createConfiguredHeaders({ handlers, download }: Pick<Config, "handlers" | "download">) {
  const ofHandlers = Object.entries(handlers).map(([jobType, handler]): [string, HandlerHeaders] => [
    jobType,
    { headers: secretHeaders(handler.default_headers), hosts: handler.default_headers_for },
  ]);
  return new ConfiguredHeaders(new Map(ofHandlers), hostHeaders(download));
}

/** `[download.hosts."x"] headers` by pattern; an entry without headers leaves those of a shorter pattern. */
export function hostHeaders({ hosts }: Pick<Config["download"], "hosts">): Readonly<Record<string, RequestHeaders>> {
  return Object.fromEntries(
    Object.entries(hosts).flatMap(([pattern, { headers }]) =>
      headers === undefined ? [] : [[pattern, { ...plainHeaders(headers), ...secretHeaders(headers) }]],
    ),
  );
}

/** The headers without a secret: tasks may carry and store them. */
export function plainHeaders(headers: HeaderTable): RequestHeaders {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value instanceof Secret ? [] : [[name, value]])),
  );
}

function secretHeaders(headers: HeaderTable): RequestHeaders {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value instanceof Secret ? [[name, value.reveal()]] : [])),
  );
}
