import { visibleText } from "../../std/visible-text.ts";

/** An answer in JSON, status 200 unless said otherwise. */
export function json(
  body: object,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
): Response {
  return new Response(jsonText(body), {
    status: options.status ?? 200,
    headers: { "content-type": "application/json", ...options.headers },
  });
}

/** A value in one line of JSON, which does nothing to a terminal that it is shown on. */
export function jsonText(value: unknown): string {
  return visibleText(JSON.stringify(value));
}
