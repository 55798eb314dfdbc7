const AWS_HOST = /\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$/;

/**
 * The URL of an S3 service without a trailing slash; empty stays empty. Throws on any other text, without quoting it.
 * A path may contain only characters that every server spells alike in a signature.
 */
export function parseS3Endpoint(text: string): string {
  if (text === "") return "";
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error('must be empty or a URL like "https://s3.example.com"');
  }
  if (url.username !== "" || url.password !== "") throw new Error("must not contain credentials");
  if (url.search !== "" || url.hash !== "") throw new Error("must not contain a query or a fragment");
  const path = url.pathname.replace(/\/$/, "");
  if (!/^(?:\/[\w.~-]+)*$/.test(path)) {
    throw new Error("must have no path, or one of letters, digits, '-', '_', '.', '~' and single slashes");
  }
  return url.origin + path;
}

/** Whether the endpoint belongs to AWS, which has strict rules for buckets. */
export function isAwsEndpoint(endpoint: string): boolean {
  return endpoint === "" || AWS_HOST.test(new URL(endpoint).hostname);
}

const SIGNAL_PATH = "/v1/traces";

/**
 * The URL at which an OpenTelemetry collector accepts spans; the usual path is added to an address without a path.
 * Empty stays empty. Throws on any other text, without quoting it.
 * @see https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
 */
export function parseOtlpEndpoint(text: string): string {
  if (text === "") return "";
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error('must be empty or a URL like "http://127.0.0.1:4318"');
  }
  if (url.username !== "" || url.password !== "") throw new Error("must not contain credentials; set tracing.headers");
  if (url.pathname === "/") url.pathname = SIGNAL_PATH;
  return url.href;
}

/** The URL under which people reach the service; empty stays empty. Throws on any other text, without quoting it. */
export function parsePublicAddress(text: string): string {
  if (text === "") return "";
  const url = /^https?:\/\/[^/\\]/i.test(text) ? URL.parse(text) : null;
  if (url === null || url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new Error('must be empty or a URL like "https://fetchbox.example.com", without user, query and fragment');
  }
  return url.href;
}
