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
  handle(call: S3Call, body: Buffer): MemoryAnswer;
}

/** Objects and multipart uploads of one bucket, in memory: what the tests of faults need of S3, and no more. */
export function createMemoryS3(): MemoryS3 {
  const objects = new Map<string, { body: Uint8Array; metadata: Record<string, string> }>();
  const uploads = new Map<string, { key: string; metadata: Record<string, string>; parts: Map<number, Buffer> }>();
  let serial = 0;

  function handle(call: S3Call, body: Buffer): MemoryAnswer {
    const { method, key, query } = call;
    if (query.has("uploads")) return method === "POST" ? create(call) : listUploads();
    const uploadId = query.get("uploadId");
    if (uploadId !== null) return handlePart(call, uploadId, body);
    if (method === "PUT") return store(key, body, metadataOf(call.headers));
    if (method === "DELETE") objects.delete(key);
    if (method === "DELETE") return { status: 204, headers: {}, body: "" };
    if (key === "") return { status: 200, headers: {}, body: "" };
    const object = objects.get(key);
    if (object === undefined) return refusal(404, "NoSuchKey");
    return { status: 200, headers: { ...object.metadata, ETag: etagOf(object.body) }, body: object.body };
  }

  function store(key: string, body: Uint8Array, metadata: Record<string, string>): MemoryAnswer {
    objects.set(key, { body, metadata });
    return { status: 200, headers: { ETag: etagOf(body) }, body: "" };
  }

  function create({ key, headers }: S3Call): MemoryAnswer {
    const uploadId = `upload-${++serial}`;
    uploads.set(uploadId, { key, metadata: metadataOf(headers), parts: new Map() });
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
      return { status: 200, headers: { ETag: etagOf(body) }, body: "" };
    }
    uploads.delete(uploadId);
    if (method === "DELETE") return { status: 204, headers: {}, body: "" };
    const whole = Buffer.concat([...upload.parts].toSorted(([a], [b]) => a - b).map(([, part]) => part));
    store(key, whole, upload.metadata);
    return { status: 200, headers: {}, body: `<R><ETag>&quot;${etagOf(whole).slice(1, -1)}&quot;</ETag></R>` };
  }

  return { objects, uploads, handle };
}

function metadataOf(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    [...headers].filter(([name]) => name === "content-encoding" || name.startsWith("x-amz-meta-")),
  );
}

function etagOf(body: Uint8Array): string {
  return `"${createHash("md5").update(body).digest("hex")}"`;
}

function refusal(status: number, code: string): MemoryAnswer {
  return { status, headers: {}, body: `<Error><Code>${code}</Code></Error>` };
}
