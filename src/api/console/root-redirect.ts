import { acceptedType } from "../http/accepted-type.ts";
import { CONSOLE_POLICY } from "./page-policy.ts";

/** The redirect of `/` to the console, for browsers alone; `undefined` for any other request. */
export function redirectToConsole({ method, headers }: Request, path: string): Response | undefined {
  if (path !== "/" || (method !== "GET" && method !== "HEAD")) return undefined;
  if (acceptedType(headers.get("accept"), ["application/json", "text/html"]) !== "text/html") return undefined;
  // A relative location also works below a path of a reverse proxy.
  return new Response(null, {
    status: 303,
    headers: { location: "console", "content-security-policy": CONSOLE_POLICY },
  });
}
