import type { HeaderFields } from "../http/header-fields.ts";
import { contentCodings } from "../jobs/content-coding.ts";

/**
 * The codings of a body as it is stored: those of its content, and then those of its transfer but chunks. Nobody asked
 * for either, and neither is undone.
 */
export function storedCodings(headers: HeaderFields): string | undefined {
  const content = headers.get("content-encoding") ?? "";
  return contentCodings([content, ...transferCodings(headers)].join(", "));
}

/** True if the bytes on the wire are not those of the body, but for chunks. */
export function isTransferCoded(headers: HeaderFields): boolean {
  return transferCodings(headers).length > 0;
}

function transferCodings(headers: HeaderFields): string[] {
  const codings = (headers.get("transfer-encoding") ?? "").split(",").map((coding) => coding.trim().toLowerCase());
  return codings.filter((coding) => coding !== "" && coding !== "chunked" && coding !== "identity");
}
