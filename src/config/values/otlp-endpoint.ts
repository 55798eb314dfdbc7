const SIGNAL_PATH = "/v1/traces";

/**
 * Where an OpenTelemetry collector takes spans; a mere address gets the usual path. Empty stays empty. Throws without
 * the URL's text.
 * @see https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
 */
export function parseOtlpEndpoint(text: string): string {
  if (text === "") return "";
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error('must be empty or a URL like "http://127.0.0.1:4318"');
  }
  if (url.username !== "" || url.password !== "") throw new Error("must not carry credentials; set tracing.headers");
  if (url.pathname === "/") url.pathname = SIGNAL_PATH;
  return url.href;
}
