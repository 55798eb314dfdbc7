const AWS_HOST = /\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$/;

/**
 * Checks the URL of an S3 service and drops a trailing slash; empty stays empty. Throws without the URL's text.
 * A path is kept: what every server spells alike in a signature.
 */
export function parseS3Endpoint(text: string): string {
  if (text === "") return "";
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error('must be empty or a URL like "https://s3.example.com"');
  }
  if (url.username !== "" || url.password !== "") throw new Error("must not carry credentials");
  if (url.search !== "" || url.hash !== "") throw new Error("must be an address, without query or fragment");
  const path = url.pathname.replace(/\/$/, "");
  if (!/^(?:\/[\w.~-]+)*$/.test(path)) {
    throw new Error("must have a path of letters, digits, '-', '_', '.', '~' and single slashes, or none");
  }
  return url.origin + path;
}

/** Whether the endpoint is Amazon's, whose rules for buckets are strict. */
export function isAwsEndpoint(endpoint: string): boolean {
  return endpoint === "" || AWS_HOST.test(new URL(endpoint).hostname);
}

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

/**
 * The URL that people find the service by; empty stays empty. Throws, without the URL's text, what is wrong with it.
 */
export function parsePublicAddress(text: string): string {
  if (text === "") return "";
  const url = /^https?:\/\/[^/\\]/i.test(text) ? URL.parse(text) : null;
  if (url === null || url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new Error('must be empty or a URL like "https://fetchbox.example.com", without user, query and fragment');
  }
  return url.href;
}
