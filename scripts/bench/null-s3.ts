/**
 * An S3 that takes everything, drops the bodies and remembers how many bytes each key got; a process of its own. It
 * passes for one that compares hashes: it does so with tiny parts, by which FetchBox finds that out, and believes all
 * others. With an argument each upload is taken at so many bytes per second.
 */
const rate = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
const sizes = new Map<string, number>();
const parts = new Map<string, number>();
/** With a dash it is no MD5 of the body, which rclone would compare. */
const ETAG = '"00000000000000000000000000000000-1"';
/** Of keys and of uploads: what tells one object from another of the same key. */
const tokens = new Map<string, string>();
const TOKEN = "x-amz-meta-upload-token";
const SHA256 = "x-amz-checksum-sha256";
const TRAILER = /x-amz-checksum-sha256:(\S+)/;
let uploads = 0;

/** How a request's body ended: a checksum may stand there. */
const TAIL_BYTES = 128;

interface Drained {
  readonly bytes: number;
  /** That the client has computed, in base64: no time of the measurement goes into another one. */
  readonly sha256: string | null;
  readonly isOther: boolean;
}

const COMPARED_BYTES_MAX = 1024;

/** Whether a tiny body has another SHA-256 than its request says, by its signature or behind the body. */
function isOtherBody(headers: Headers, sent: Uint8Array, trailer: string | null): boolean {
  const signed = headers.get("x-amz-content-sha256") ?? "";
  if (/^[0-9a-f]{64}$/.test(signed)) return Bun.CryptoHasher.hash("sha256", sent, "hex") !== signed;
  if (trailer === null) return false;
  const begin = Buffer.from(sent).indexOf("\r\n") + 2;
  const body = sent.subarray(begin, begin + Number(headers.get("x-amz-decoded-content-length")));
  return Bun.CryptoHasher.hash("sha256", body, "base64") !== trailer;
}

async function drained(request: Request): Promise<Drained> {
  const { headers } = request;
  let bytes = 0;
  let tail: Uint8Array = new Uint8Array(0);
  if (Number(headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= 1 << 18) {
    tail = new Uint8Array(await request.arrayBuffer());
    bytes = tail.byteLength;
  } else if (request.body !== null) {
    for await (const chunk of request.body) {
      bytes += chunk.byteLength;
      tail =
        chunk.byteLength >= TAIL_BYTES
          ? chunk.subarray(-TAIL_BYTES)
          : Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
      if (Number.isFinite(rate)) await Bun.sleep((chunk.byteLength / rate) * 1000);
    }
  }
  const decoded = headers.get("x-amz-decoded-content-length");
  const trailer = decoded === null ? null : (TRAILER.exec(Buffer.from(tail).toString("latin1"))?.[1] ?? null);
  const isPart = request.method === "PUT" && request.url.includes("partNumber=");
  const isOther = isPart && bytes <= COMPARED_BYTES_MAX && isOtherBody(headers, tail, trailer);
  return { bytes: Number(decoded ?? bytes), sha256: trailer ?? headers.get(SHA256), isOther };
}

function xml(body: string): Response {
  return new Response(`<?xml version="1.0" encoding="UTF-8"?>${body}`, {
    headers: { "content-type": "application/xml" },
  });
}

async function put(request: Request, key: string, upload: string | null): Promise<Response> {
  const { bytes, sha256, isOther } = await drained(request);
  if (isOther) return new Response("<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", { status: 400 });
  // As a proxy in front of it does with what is too large.
  if (key.includes("/refused-")) return new Response(null, { status: 413 });
  if (upload === null) sizes.set(key, bytes);
  else parts.set(upload, (parts.get(upload) ?? 0) + bytes);
  // Only what is large is ever asked after; a map of all would be a cost of its own.
  if (upload === null && bytes > 1 << 18) tokens.set(key, request.headers.get(TOKEN) ?? "");
  return new Response(null, { headers: sha256 === null ? { etag: ETAG } : { etag: ETAG, [SHA256]: sha256 } });
}

async function post(request: Request, key: string, upload: string | null): Promise<Response> {
  await drained(request);
  if (upload === null) {
    uploads += 1;
    tokens.set(String(uploads), request.headers.get(TOKEN) ?? "");
    return xml(`<InitiateMultipartUploadResult><UploadId>${uploads}</UploadId></InitiateMultipartUploadResult>`);
  }
  sizes.set(key, parts.get(upload) ?? 0);
  tokens.set(key, tokens.get(upload) ?? "");
  for (const map of [parts, tokens]) map.delete(upload);
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
  const token = tokens.get(key);
  return new Response(null, {
    headers: { "content-length": String(bytes), etag: ETAG, ...(token !== undefined && { [TOKEN]: token }) },
  });
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
