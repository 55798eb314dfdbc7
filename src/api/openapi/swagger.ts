import faviconPath from "swagger-ui-dist/favicon-32x32.png" with { type: "file" };
import stylePath from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import scriptPath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import type { Access, Endpoint, EndpointDoc } from "../endpoints/endpoint.ts";
import { json } from "../http/json-response.ts";

const ACCESS: Access = "read";
const YEAR_SECONDS = 31_536_000;
/** The page needs its own files, the document, and the pictures within its style sheet. */
const PAGE_POLICY =
  "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const PAGE_DOC: EndpointDoc = {
  tag: "Service",
  summary: "Browse the API",
  answers: {
    200: {
      description: "Swagger UI, which loads no files from other hosts.",
      contentType: "text/html",
      example: "<!doctype html>",
    },
  },
};
const DOCUMENT_DOC: EndpointDoc = {
  tag: "Service",
  summary: "Read this document",
  answers: { 200: { description: "The OpenAPI 3.1 document.", schema: "OpenApi", example: { openapi: "3.1.0" } } },
};

/** Endpoints of Swagger UI, its files and its document. `document` is called once, at the first request for it. */
export function swaggerEndpoints(document: () => Promise<object>, version: string): Endpoint[] {
  let made: Promise<object> | undefined;
  // The path changes with the version, so that browsers may cache the files.
  const asset = (name: string) => `swagger/assets/${version}/${name}`;
  const file = (name: string, path: string, type: string) =>
    page(`/${asset(name)}`, () => new Response(Bun.file(path), { headers: cached(type) }));
  return [
    { ...page("/swagger", () => new Response(html(asset), { headers: pageHeaders() })), doc: PAGE_DOC },
    {
      ...page("/swagger/json", async () => {
        made ??= document();
        return json(await made);
      }),
      doc: DOCUMENT_DOC,
    },
    page(`/${asset("init.js")}`, () => new Response(INIT, { headers: cached("text/javascript; charset=utf-8") })),
    file("swagger-ui.css", stylePath, "text/css; charset=utf-8"),
    file("swagger-ui-bundle.js", scriptPath, "text/javascript; charset=utf-8"),
    file("favicon.png", faviconPath, "image/png"),
  ];
}

function page(path: string, answer: Endpoint["answer"]): Endpoint {
  return { method: "GET", path, access: ACCESS, answer };
}

function pageHeaders() {
  return { "content-type": "text/html; charset=utf-8", "content-security-policy": PAGE_POLICY };
}

function cached(type: string) {
  return { "content-type": type, "cache-control": `private, max-age=${YEAR_SECONDS}, immutable` };
}

function html(asset: (name: string) => string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>FetchBox API</title>
    <link rel="icon" type="image/png" href="${asset("favicon.png")}">
    <link rel="stylesheet" href="${asset("swagger-ui.css")}">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="${asset("swagger-ui-bundle.js")}"></script>
    <script src="${asset("init.js")}"></script>
  </body>
</html>
`;
}

// `validatorUrl: null`: the page must not send the document to a validator outside.
const INIT = `SwaggerUIBundle({
  url: "swagger/json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
`;
