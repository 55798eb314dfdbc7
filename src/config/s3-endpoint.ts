/** Checks the URL of an S3 service and drops a trailing slash; empty stays empty. Throws without the URL's text. */
export function parseS3Endpoint(text: string): string {
  if (text === "") return "";
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Error('must be empty or a URL like "https://s3.example.com"');
  }
  if (url.username !== "" || url.password !== "") throw new Error("must not carry credentials");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new Error("must be an address alone, without path, query or fragment");
  }
  return url.origin;
}
