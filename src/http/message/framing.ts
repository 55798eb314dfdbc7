import { HttpError } from "../http-error.ts";
import type { HeaderFields } from "./header-fields.ts";
import { type ResponseHead, trimBlanks } from "./response-head.ts";

/** The end of a response's body, and whether the connection can be used again afterwards. */
export type Framing = BodyEnd & { readonly keepsConnection: boolean };

type BodyEnd =
  | { readonly kind: "none" }
  /** An integer from 0 to `Number.MAX_SAFE_INTEGER`. */
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };

/**
 * The framing of a response's body (RFC 9112, section 6.3).
 *
 * A successful answer to CONNECT has no body, and its framing fields are ignored. Its connection always counts as kept,
 * because the tunnel uses it (RFC 9110, section 9.3.6).
 *
 * Throws an `HttpError` of kind `protocol` if the framing fields are ambiguous: Content-Length values that differ or
 * are not a length, the chunked coding applied twice or with parameters.
 */
export function framingOf(head: ResponseHead, requestMethod: string): Framing {
  const { status, headers } = head;
  if (requestMethod === "CONNECT" && status >= 200 && status < 300) return { kind: "none", keepsConnection: true };
  const isTransferCoded = headers.has("transfer-encoding");
  const bodyEnd = isTransferCoded ? codedBody : plainBody;
  const body = hasNoBody(status, requestMethod) ? NO_BODY : bodyEnd(headers);
  // With a Content-Length beside it, or from HTTP/1.0, it may be an attempt at response splitting (RFC 9112, 6.1, 6.3).
  const isDubious = isTransferCoded && (head.version === "1.0" || headers.has("content-length"));
  return { ...body, keepsConnection: body.kind !== "until-close" && !isDubious && isPersistent(head) };
}

/** The codings of Transfer-Encoding in lower case and in their order, the chunked coding included. */
export function transferCodings(headers: HeaderFields): string[] {
  return elementsOf(headers, "transfer-encoding").filter((coding) => coding !== "");
}

const NO_BODY: BodyEnd = { kind: "none" };

function hasNoBody(status: number, requestMethod: string): boolean {
  return requestMethod === "HEAD" || status < 200 || status === 204 || status === 304;
}

function codedBody(headers: HeaderFields): BodyEnd {
  const codings = transferCodings(headers);
  if (codings.filter(isChunked).length > 1) {
    throw new HttpError("protocol", "Transfer-Encoding names the chunked coding twice");
  }
  const last = codings.at(-1);
  if (last === undefined || !isChunked(last)) return { kind: "until-close" };
  // RFC 9112, section 7.1: the coding defines no parameters, and their presence is an error.
  if (last !== "chunked") throw new HttpError("protocol", "the chunked coding has parameters");
  return { kind: "chunked" };
}

function isChunked(coding: string): boolean {
  return coding === "chunked" || (coding.startsWith("chunked") && /^chunked[ \t]*;/.test(coding));
}

function plainBody(headers: HeaderFields): BodyEnd {
  const only = headers.get("content-length");
  if (only === undefined) return { kind: "until-close" };
  // Nearly every answer has one plain value.
  if (/^\d{1,15}$/.test(only)) return { kind: "length", bytes: Number(only) };
  const lengths = elementsOf(headers, "content-length").map(toLength);
  const [bytes] = lengths;
  if (bytes === undefined) return { kind: "until-close" };
  if (lengths.some((length) => length !== bytes)) {
    throw new HttpError("protocol", "the values of Content-Length differ");
  }
  return { kind: "length", bytes };
}

function toLength(digits: string): number {
  const bytes = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(bytes)) throw new HttpError("protocol", "Content-Length is not a valid length");
  return bytes;
}

/** RFC 9112, section 9.3. */
function isPersistent({ version, headers }: ResponseHead): boolean {
  const options = elementsOf(headers, "connection");
  if (options.includes("close")) return false;
  return version === "1.1" || options.includes("keep-alive");
}

/** The elements of a list field in lower case, the empty ones too; quoted strings get no special treatment. */
function elementsOf(headers: HeaderFields, name: string): string[] {
  const list = headers.get(name);
  if (list === undefined) return [];
  return list
    .toLowerCase()
    .split(",")
    .map((element) => trimBlanks(element));
}
