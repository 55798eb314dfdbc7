import type { Access, Call, Endpoint } from "../endpoints/endpoint.ts";
import { ApiError } from "../http/errors.ts";
import type { ConsoleFile } from "./console-bundle.ts";
import { consoleFiles } from "./console-files.ts";
import { CONSOLE_POLICY } from "./page-policy.ts";

/** The page has no data of the service; its requests need a session. */
const ACCESS: Access = "open";
const ROOT = "/console";
const ASSETS = `${ROOT}/assets/`;
const YEAR_SECONDS = 31_536_000;
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' " +
  "rx='3' fill='%230b6bcb'/%3E%3Cpath d='M8 3v6m0 0L5 6m3 3l3-3M3 11v2h10v-2' stroke='white' stroke-width='1.6' " +
  "fill='none'/%3E%3C/svg%3E";

/** The console: one page for every path below `/console`, which reads the path itself, and the page's files. */
export function consoleEndpoints(): Endpoint[] {
  let loading: Promise<ConsoleFile[]> | undefined;
  const files = () => {
    loading ??= consoleFiles();
    return loading;
  };
  return [
    page(ROOT, async () => shell(ROOT, await files())),
    page(`${ROOT}/*`, async ({ request }) => {
      const path = new URL(request.url).pathname;
      return path.startsWith(ASSETS) ? asset(path, await files(), request) : shell(path, await files());
    }),
  ];
}

function page(path: string, answer: (call: Call) => Response | Promise<Response>): Endpoint {
  return { method: "GET", path, access: ACCESS, answer };
}

function shell(path: string, files: readonly ConsoleFile[]): Response {
  return new Response(html(assetsFrom(path), files), {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": CONSOLE_POLICY,
      "cache-control": "no-cache",
    },
  });
}

/** Relative, because a router may put a prefix before the service's paths. */
function assetsFrom(path: string): string {
  const depth = path.split("/").length - ROOT.split("/").length;
  return depth === 0 ? "console/assets/" : `${"../".repeat(depth - 1)}assets/`;
}

function html(assets: string, files: readonly ConsoleFile[]): string {
  const addresses = (suffix: string) =>
    files.filter(({ name }) => name.endsWith(suffix)).map(({ name }) => `${assets}${name}`);
  const styles = addresses(".css").map((address) => `<link rel="stylesheet" href="${address}">`);
  const scripts = addresses(".js").map((address) => `<script type="module" src="${address}"></script>`);
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>FetchBox</title>
    <link rel="icon" href="${ICON}">
    ${[...styles, ...scripts].join("\n    ")}
  </head>
  <body>
    <div id="console"></div>
    <noscript>The console needs JavaScript. The command line of FetchBox does the same without it.</noscript>
  </body>
</html>
`;
}

function asset(path: string, files: readonly ConsoleFile[], request: Request): Response {
  const file = files.find(({ name }) => path === `${ASSETS}${name}`);
  if (file === undefined) throw new ApiError("NOT_FOUND");
  const headers = new Headers({
    "content-type": file.contentType,
    "cache-control": `public, max-age=${YEAR_SECONDS}, immutable`,
    vary: "accept-encoding",
  });
  const content = Buffer.from(file.gzip, "base64");
  if (!acceptsGzip(request.headers.get("accept-encoding") ?? ""))
    return new Response(Bun.gunzipSync(content), { headers });
  headers.set("content-encoding", "gzip");
  return new Response(content, { headers });
}

/** True if the header names gzip, with a weight above 0 (RFC 9110, section 12.5.3). */
function acceptsGzip(header: string): boolean {
  const codings = header.toLowerCase().split(",");
  return codings.some((coding) => /^\s*gzip\s*(;\s*q=(1|0\.0*[1-9]).*)?$/.test(coding));
}
