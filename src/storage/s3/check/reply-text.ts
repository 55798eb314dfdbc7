import { MASK } from "../../../std/visible-text.ts";
import type { S3Reply } from "../client/s3-client.ts";
import { s3CodeIn } from "../client/s3-failure.ts";
import { textOf } from "../client/xml.ts";

export interface TimedReply extends S3Reply {
  readonly ms: number;
}

const MESSAGE_CHARS_MAX = 200;
/** Shorter secrets would blot out common words. */
const SECRET_CHARS_MIN = 4;

/** A server's answer in its own words: `403 AccessDenied "Access Denied" in 3 ms`, secrets left out. */
export function replyText({ status, body, ms }: TimedReply, secrets: readonly string[]): string {
  const text = body.toString("utf8");
  const code = s3CodeIn(text);
  const message = code === "" ? "" : cleaned(textOf(text, "Message") ?? "", secrets);
  const words = [String(status), code, message === "" ? "" : `"${message}"`, `in ${Math.round(ms)} ms`];
  return words.filter((word) => word !== "").join(" ");
}

/** One line of printable characters, without our keys and without text that looks like a signature. */
function cleaned(message: string, secrets: readonly string[]): string {
  let text = message.replace(/[^\x20-\x7e]+/g, " ");
  for (const secret of secrets) if (secret.length >= SECRET_CHARS_MIN) text = text.replaceAll(secret, MASK);
  return text
    .replace(/[A-Za-z0-9+/=]{40,}/g, MASK)
    .trim()
    .slice(0, MESSAGE_CHARS_MAX);
}
