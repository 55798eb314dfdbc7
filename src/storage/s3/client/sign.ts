import { sha256Hex } from "../../../std/digest.ts";

/** AWS Signature Version 4: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

interface UnsignedRequest {
  readonly method: string;
  readonly host: string;
  /** Encoded by `encodePath`. */
  readonly path: string;
  /** Encoded by `canonicalQuery`. */
  readonly query: string;
  /** All are signed. Lower-case names, values trimmed and without runs of spaces. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body in hex, or `UNSIGNED_PAYLOAD`. */
  readonly payloadHash: string;
}

export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";
export const EMPTY_PAYLOAD_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Returns the headers to add to those of the request. `now` in milliseconds since the epoch. */
export type Signer = (request: UnsignedRequest, now: number) => Record<string, string>;

/** A signer of S3 requests. Keeps the key of the day and the text of the second: a signature then costs two hashes. */
export function createSigner(region: string, credentials: S3Credentials): Signer {
  let day = "";
  let dayKey: Buffer = Buffer.alloc(0);
  let second = Number.NaN;
  let time = "";

  function keyOf(date: string): Buffer {
    if (date !== day) {
      const dateKey = hmac(`AWS4${credentials.secretAccessKey}`, date);
      dayKey = hmac(hmac(hmac(dateKey, region), "s3"), "aws4_request");
      day = date;
    }
    return dayKey;
  }

  function timeAt(now: number): string {
    if (Math.floor(now / 1000) !== second) {
      second = Math.floor(now / 1000);
      time = timeOf(now);
    }
    return time;
  }

  return ({ method, host, path, query, headers, payloadHash }, now) => {
    const time = timeAt(now);
    const date = time.slice(0, 8);
    const own: Record<string, string> = { "x-amz-content-sha256": payloadHash, "x-amz-date": time };
    if (credentials.sessionToken !== undefined) own["x-amz-security-token"] = credentials.sessionToken;

    const names = ["host", ...Object.keys(own), ...Object.keys(headers)].sort();
    const signedHeaders = names.join(";");
    let canonical = `${method}\n${path}\n${query}\n`;
    for (const name of names) canonical += `${name}:${name === "host" ? host : (own[name] ?? headers[name])}\n`;
    canonical += `\n${signedHeaders}\n${payloadHash}`;

    const scope = `${date}/${region}/s3/aws4_request`;
    const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256Hex(canonical)}`;
    const signature = new Bun.CryptoHasher("sha256", keyOf(date)).update(toSign).digest("hex");
    const credential = `${credentials.accessKeyId}/${scope}`;
    own["authorization"] =
      `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${signedHeaders},Signature=${signature}`;
    return own;
  };
}

/** `20130524T000000Z` */
function timeOf(now: number): string {
  return new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

/** A key as the path of a URL: everything but RFC 3986's unreserved characters and `/` becomes %XX. */
export function encodePath(key: string): string {
  if (/^[\w.~/-]*$/.test(key)) return key;
  // No "%2F" that stands in the key itself is hit: its "%" has become "%25".
  return encode(key).replaceAll("%2F", "/");
}

/** Query parameters in the order and the spelling that are signed and sent. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  const names = Object.keys(query).sort();
  return names.map((name) => `${encode(name)}=${encode(query[name] ?? "")}`).join("&");
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hmac(key: string | Buffer, data: string): Buffer {
  return new Bun.CryptoHasher("sha256", key).update(data).digest();
}
