import { createHash } from "node:crypto";

export interface S3Call {
  readonly method: string;
  /** As it came, without the query. */
  readonly path: string;
  /** Without the bucket; empty for requests to the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** Number of the connection it came on. */
  readonly connection: number;
}

export interface MemoryAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface MemoryS3 {
  readonly objects: ReadonlyMap<
    string,
    { readonly body: Uint8Array; readonly metadata: Readonly<Record<string, string>> }
  >;
  /** Open multipart uploads by id. */
  readonly uploads: ReadonlyMap<string, { readonly key: string }>;
  /** What it does with checksums, from now on. */
  checks: ChecksumChecks;
  /** Called with each body of an upload that has arrived whole: what the server makes of it. */
  corruption: (body: Buffer, call: S3Call) => Buffer;
  /** The ETag of what it stores; MD5 by default. */
  etagOf: (body: Uint8Array) => string | undefined;
  /** With `checks` of "none": it returns each SHA-256 that it is given, as if it had compared it. */
  isEcho: boolean;
  /** The body of the answer to a completion; by default with the ETag. */
  completion: string | undefined;
  /** Goes with each answer to an upload. */
  answerHeaders: Readonly<Record<string, string>>;
  handle(call: S3Call, body: Buffer): MemoryAnswer;
}

/**
 * `all`: as AWS, it takes and returns SHA-256, also behind the body. `hash`: as older servers, it compares the hash
 * that is signed, and MD5. `unsupported`: the same, but it refuses headers of SHA-256. `none`: it compares nothing.
 */
export type ChecksumChecks = "all" | "hash" | "unsupported" | "none";

interface MemoryUpload {
  readonly key: string;
  readonly metadata: Record<string, string>;
  readonly parts: Map<number, Buffer>;
  readonly isOfSha256: boolean;
}

/** Objects and multipart uploads of one bucket, in memory: what the tests of faults need of S3, and no more. */
export function createMemoryS3(): MemoryS3 {
  const objects = new Map<string, { body: Uint8Array; metadata: Record<string, string> }>();
  const uploads = new Map<string, MemoryUpload>();
  let serial = 0;

  function handle(call: S3Call, sent: Buffer): MemoryAnswer {
    return call.method === "PUT" ? receive(call, sent) : respond(call, sent);
  }

  /** An upload: what came is taken apart, compared, and only then kept. */
  function receive(call: S3Call, sent: Buffer): MemoryAnswer {
    const isChunked = call.headers.get("content-encoding")?.startsWith("aws-chunked") === true;
    const { body, trailers } =
      isChunked && (api.checks === "all" || api.isEcho) ? unchunked(sent) : { body: sent, trailers: new Headers() };
    const arrived = api.corruption(body, call);
    const sha256 = call.headers.get(SHA256) ?? trailers.get(SHA256);
    if (api.checks === "unsupported" && call.headers.has(SHA256)) return refusal(501, "NotImplemented");
    if (api.checks !== "none" && !isAsSent(arrived, call, api.checks === "all" ? sha256 : null)) {
      return refusal(400, isHex(call.headers.get(SIGNED_HASH)) ? "XAmzContentSHA256Mismatch" : "BadDigest");
    }
    const stored = respond(call, arrived);
    const answer = { ...stored, headers: { ...stored.headers, ...api.answerHeaders } };
    if ((api.checks !== "all" && !api.isEcho) || sha256 === null) return answer;
    return { ...answer, headers: { ...answer.headers, [SHA256]: sha256, ...api.answerHeaders } };
  }

  function respond(call: S3Call, body: Buffer): MemoryAnswer {
    const { method, key, query } = call;
    if (query.has("uploads")) return method === "POST" ? create(call) : listUploads();
    const uploadId = query.get("uploadId");
    if (uploadId !== null) return handlePart(call, uploadId, body);
    if (method === "PUT") return store(key, body, metadataOf(call.headers));
    if (method === "DELETE") objects.delete(key);
    if (method === "DELETE") return { status: 204, headers: {}, body: "" };
    if (key === "") return { status: 200, headers: {}, body: method === "GET" ? listObjects(query) : "" };
    const object = objects.get(key);
    if (object === undefined) return refusal(404, "NoSuchKey");
    return { status: 200, headers: { ...object.metadata, ...etagHeader(object.body) }, body: object.body };
  }

  function etagHeader(body: Uint8Array): Record<string, string> {
    const etag = api.etagOf(body);
    return etag === undefined ? {} : { ETag: etag };
  }

  function listObjects(query: URLSearchParams): string {
    const prefix = query.get("prefix") ?? "";
    const items = [...objects]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, { body }]) => {
        const etag = (api.etagOf(body) ?? "").replaceAll('"', "&quot;");
        return `<Contents><Key>${key}</Key><Size>${body.byteLength}</Size><ETag>${etag}</ETag></Contents>`;
      });
    return `<ListBucketResult>${items.join("")}</ListBucketResult>`;
  }

  function store(key: string, body: Uint8Array, metadata: Record<string, string>): MemoryAnswer {
    objects.set(key, { body, metadata });
    return { status: 200, headers: etagHeader(body), body: "" };
  }

  function create({ key, headers }: S3Call): MemoryAnswer {
    const uploadId = `upload-${++serial}`;
    const isOfSha256 = headers.get("x-amz-checksum-algorithm") === "SHA256";
    uploads.set(uploadId, { key, metadata: metadataOf(headers), parts: new Map(), isOfSha256 });
    return { status: 200, headers: {}, body: `<R><UploadId>${uploadId}</UploadId></R>` };
  }

  function listUploads(): MemoryAnswer {
    const items = [...uploads].map(([id, { key }]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`);
    return {
      status: 200,
      headers: {},
      body: `<ListMultipartUploadsResult>${items.join("")}</ListMultipartUploadsResult>`,
    };
  }

  function handlePart({ method, key, query }: S3Call, uploadId: string, body: Buffer): MemoryAnswer {
    const upload = uploads.get(uploadId);
    if (upload === undefined) return refusal(404, "NoSuchUpload");
    if (method === "PUT") {
      upload.parts.set(Number(query.get("partNumber")), body);
      return { status: 200, headers: etagHeader(body), body: "" };
    }
    const problem = method === "POST" ? completionProblem(body.toString(), upload.isOfSha256) : undefined;
    if (problem !== undefined) return refusal(400, problem);
    uploads.delete(uploadId);
    if (method === "DELETE") return { status: 204, headers: {}, body: "" };
    const whole = Buffer.concat([...upload.parts].toSorted(([a], [b]) => a - b).map(([, part]) => part));
    store(key, whole, upload.metadata);
    return {
      status: 200,
      headers: {},
      body: api.completion ?? `<R><ETag>&quot;${md5Etag(whole).slice(1, -1)}&quot;</ETag></R>`,
    };
  }

  /** AWS wants the checksums of an upload that was declared so; Swift takes no element that it does not know. */
  function completionProblem(xml: string, isOfSha256: boolean): string | undefined {
    const isNamed = xml.includes("<ChecksumSHA256>");
    if (api.checks === "all") return isOfSha256 && !isNamed ? "InvalidRequest" : undefined;
    return isNamed && !api.isEcho ? "MalformedXML" : undefined;
  }

  const api: MemoryS3 = {
    objects,
    uploads,
    checks: "all",
    corruption: (body) => body,
    etagOf: md5Etag,
    isEcho: false,
    completion: undefined,
    answerHeaders: {},
    handle,
  };
  return api;
}

const SHA256 = "x-amz-checksum-sha256";
const SIGNED_HASH = "x-amz-content-sha256";

function isAsSent(body: Buffer, { headers }: S3Call, sha256: string | null): boolean {
  const signed = headers.get(SIGNED_HASH);
  const md5 = headers.get("content-md5");
  if (isHex(signed) && signed !== digestOf("sha256", "hex", body)) return false;
  if (sha256 !== null && sha256 !== digestOf("sha256", "base64", body)) return false;
  return md5 === null || md5 === digestOf("md5", "base64", body);
}

function isHex(hash: string | null): hash is string {
  return hash !== null && /^[0-9a-f]{64}$/.test(hash);
}

function digestOf(algorithm: string, encoding: "hex" | "base64", body: Uint8Array): string {
  return createHash(algorithm).update(body).digest(encoding);
}

/** The body of a request in chunks of AWS's, and the fields behind it. */
function unchunked(sent: Buffer): { body: Buffer; trailers: Headers } {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = sent.indexOf("\r\n", at);
    const bytes = Number.parseInt(sent.toString("latin1", at, end), 16);
    at = end + 2;
    if (bytes === 0) {
      const lines = sent
        .toString("latin1", at)
        .split("\r\n")
        .filter((line) => line !== "");
      const fields = lines.map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1)];
      });
      return { body: Buffer.concat(pieces), trailers: new Headers(fields) };
    }
    pieces.push(sent.subarray(at, at + bytes));
    at += bytes + 2;
  }
}

function metadataOf(headers: Headers): Record<string, string> {
  const kept = [...headers].filter(([name]) => name === "content-encoding" || name.startsWith("x-amz-meta-"));
  const metadata = Object.fromEntries(kept.map(([name, value]) => [name, value.replace(/^aws-chunked,?/, "")]));
  if (metadata["content-encoding"] === "") delete metadata["content-encoding"];
  return metadata;
}

function md5Etag(body: Uint8Array): string {
  return `"${digestOf("md5", "hex", body)}"`;
}

function refusal(status: number, code: string): MemoryAnswer {
  return { status, headers: {}, body: `<Error><Code>${code}</Code></Error>` };
}
