import { transferCodings } from "../../http/message/framing.ts";
import type { HeaderFields } from "../../http/message/header-fields.ts";
import { contentCodings } from "../../net/content-coding.ts";

/**
 * The codings of a body as it is stored: those of its content, and then those of its transfer except chunks. Requests
 * ask for no coding, so an origin that applies one gets its bytes stored as they are.
 */
export function storedCodings(headers: HeaderFields): string | undefined {
  const content = headers.get("content-encoding") ?? "";
  return contentCodings([content, ...unaskedCodings(headers)].join(", "));
}

/** True if the transfer codes the body's bytes in another way than by chunks. */
export function isTransferCoded(headers: HeaderFields): boolean {
  return unaskedCodings(headers).length > 0;
}

function unaskedCodings(headers: HeaderFields): string[] {
  return transferCodings(headers).filter((coding) => coding !== "chunked" && coding !== "identity");
}
