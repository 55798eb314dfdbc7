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
