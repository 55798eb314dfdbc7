import { createHash, createHmac } from "node:crypto";
import type { S3Call } from "./memory-s3.ts";

export interface SignatureCheck {
  /** The signature that the request carries, and the one that it must have. */
  readonly given: string;
  readonly right: string;
  readonly region: string;
  readonly signedHeaders: readonly string[];
}

/**
 * Reckons the signature (SigV4) of a request from what came over the wire, as a server does. It shares no code with the
 * client.
 */
export function checkSignature({ method, path, query, headers }: S3Call, secret: string): SignatureCheck {
  const authorization = headers.get("authorization") ?? "";
  const field = (name: string) => new RegExp(`${name}=([^, ]+)`).exec(authorization)?.[1] ?? "";
  const [, date = "", region = "", service = ""] = field("Credential").split("/");
  const signedHeaders = field("SignedHeaders").split(";");
  const parameters = [...query].map(([name, value]) => `${encode(name)}=${encode(value)}`).toSorted();
  const canonical = [
    method,
    path,
    parameters.join("&"),
    ...signedHeaders.map((name) => `${name}:${headers.get(name) ?? ""}`),
    "",
    signedHeaders.join(";"),
    headers.get("x-amz-content-sha256"),
  ].join("\n");
  const scope = `${date}/${region}/${service}/aws4_request`;
  const digest = createHash("sha256").update(canonical).digest("hex");
  const toSign = ["AWS4-HMAC-SHA256", headers.get("x-amz-date"), scope, digest].join("\n");
  const key = [date, region, service, "aws4_request"].reduce<Buffer>(
    (above, part) => createHmac("sha256", above).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  );
  const right = createHmac("sha256", key).update(toSign).digest("hex");
  return { given: field("Signature"), right, region, signedHeaders };
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
