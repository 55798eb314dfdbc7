import { join } from "node:path";
import { record } from "./recorded-answer.ts";

export interface OddAnswer {
  readonly name: string;
  readonly method: "GET" | "HEAD";
  /** Whether the peer closes the connection after the answer. */
  readonly closes: boolean;
  readonly raw: Buffer;
  readonly ours: string;
  /** The exit code and the number of body bytes, or "?" before it was recorded. */
  readonly curl: string;
  readonly why: string;
}

export const ODD_ANSWERS_FILE = join(import.meta.dir, "odd-answers.txt");
const ESCAPES: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", "0": "\0", "\\": "\\", p: "|" };

/** The rows of odd-answers.txt, whose head describes the format. */
export function parseOddAnswers(text: string): OddAnswer[] {
  return text.split("\n").flatMap((line) => {
    const columns = columnsOf(line);
    if (columns === undefined) return [];
    const [name = "", request = "", raw = "", ours = "", curl = "", why = ""] = columns;
    const method = request.startsWith("HEAD") ? "HEAD" : "GET";
    return [{ name, method, closes: request.endsWith("close"), raw: unescape(raw), ours, curl, why }];
  });
}

/** A line of the table with its curl column set; other lines as they are. */
export function withCurl(line: string, verdicts: ReadonlyMap<string, string>): string {
  const columns = columnsOf(line);
  const verdict = verdicts.get(columns?.[0] ?? "");
  if (columns === undefined || verdict === undefined) return line;
  columns[4] = verdict;
  return columns.join(" | ").trimEnd();
}

/** Our verdict on an answer, in the words of the table. */
export function verdictOn({ raw, method, closes }: OddAnswer): string {
  const { events, bodyBytes, outcome } = record([raw], { method });
  if (typeof outcome === "object") return outcome.kind;
  if (events.at(-1) === "complete") return `complete ${bodyBytes}`;
  if (!closes) return `waiting ${bodyBytes}`;
  return outcome === "until-close" ? `unverified ${bodyBytes}` : outcome;
}

/** True if curl came to the same end: the same body, an error, or its time was over where we would wait. */
export function agrees({ ours, curl }: OddAnswer): boolean {
  const [verdict, bytes] = ours.split(" ");
  const [code, curlBytes] = curl.split(" ");
  if (verdict === "waiting") return code === "28" && bytes === curlBytes;
  if (verdict === "complete" || verdict === "unverified") return code === "0" && bytes === curlBytes;
  return code !== "0" && code !== "28";
}

function columnsOf(line: string): string[] | undefined {
  const columns = `${line} `.split(" | ");
  return line.startsWith("#") || columns.length !== 6
    ? undefined
    : columns.map((column, at) => (at === 5 ? column.trim() : column));
}

function unescape(escaped: string): Buffer {
  const inner = /\{(\d+)\*([^{}]*)\}/g;
  let repeated = escaped;
  while (repeated.search(inner) !== -1) {
    repeated = repeated.replace(inner, (_, times: string, part: string) => part.repeat(Number(times)));
  }
  const text = repeated.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(text, "latin1");
}
