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
