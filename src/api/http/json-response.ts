import { visibleText } from "../../std/visible-text.ts";

/** An answer in JSON, by default with the status 200. */
export function json(
  body: object,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
): Response {
  return new Response(jsonText(body), {
    status: options.status ?? 200,
    headers: { "content-type": "application/json", ...options.headers },
  });
}

/** A value as one line of JSON without characters that control a terminal. */
export function jsonText(value: unknown): string {
  return visibleText(JSON.stringify(value));
}
