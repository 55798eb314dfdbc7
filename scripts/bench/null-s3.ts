/**
 * An S3 that takes everything, drops the bodies and remembers how many bytes each key got; a process of its own. With an
 * argument each upload is taken at so many bytes per second.
 */
const rate = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
const sizes = new Map<string, number>();
const parts = new Map<string, number>();
/** With a dash it is no MD5 of the body, which rclone would compare. */
const ETAG = '"00000000000000000000000000000000-1"';
let uploads = 0;

async function drained(request: Request): Promise<number> {
  let bytes = 0;
  if (Number(request.headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= 1 << 18) {
    bytes = (await request.arrayBuffer()).byteLength;
  } else if (request.body !== null) {
    for await (const chunk of request.body) {
      bytes += chunk.byteLength;
      if (Number.isFinite(rate)) await Bun.sleep((chunk.byteLength / rate) * 1000);
    }
  }
  return bytes;
}

function xml(body: string): Response {
  return new Response(`<?xml version="1.0" encoding="UTF-8"?>${body}`, {
    headers: { "content-type": "application/xml" },
  });
}

async function put(request: Request, key: string, upload: string | null): Promise<Response> {
  const bytes = await drained(request);
  if (upload === null) sizes.set(key, bytes);
  else parts.set(upload, (parts.get(upload) ?? 0) + bytes);
  return new Response(null, { headers: { etag: ETAG } });
}

async function post(request: Request, key: string, upload: string | null): Promise<Response> {
  await drained(request);
  if (upload === null) {
    uploads += 1;
    return xml(`<InitiateMultipartUploadResult><UploadId>${uploads}</UploadId></InitiateMultipartUploadResult>`);
  }
  sizes.set(key, parts.get(upload) ?? 0);
  parts.delete(upload);
  return xml(`<CompleteMultipartUploadResult><ETag>${ETAG}</ETag></CompleteMultipartUploadResult>`);
}

function stats(): Response {
  const objects = [...sizes].filter(([key]) => !key.includes("/manifests/"));
  return Response.json({ objects: objects.length, bytes: objects.reduce((sum, [, bytes]) => sum + bytes, 0) });
}

function get(key: string): Response {
  if (key === "/stats") return stats();
  if (key !== "/reset") return xml("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
  sizes.clear();
  return new Response(null);
}

function head(key: string): Response {
  const bytes = sizes.get(key);
  if (bytes === undefined) return new Response(null, { status: key.indexOf("/", 1) < 0 ? 200 : 404 });
  return new Response(null, { headers: { "content-length": String(bytes), etag: ETAG } });
}

const { port } = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 120,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  fetch(request) {
    const { pathname: key, searchParams } = new URL(request.url);
    const upload = searchParams.get("uploadId");
    if (request.method === "PUT") return put(request, key, upload);
    if (request.method === "POST") return post(request, key, upload);
    if (request.method === "HEAD") return head(key);
    if (request.method === "GET") return get(key);
    return new Response(null, { status: 204 });
  },
});
process.stdout.write(`${port}\n`);

export {};
