import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ODD_ANSWERS_FILE, parseOddAnswers } from "./odd-answers.ts";
import { type Recording, record, singleBytes } from "./recorded-answer.ts";

/** By hand: FETCHBOX_FUZZ=1000000 bun test test/http/response-fuzz.test.ts --timeout 600000 */
const MUTATIONS = Number(process.env.FETCHBOX_FUZZ ?? 10_000);
const SEED_BYTES_MAX = 1000;
/** Small, so that the mutations reach them. */
const LIMITS = { headBytesMax: 300, fieldsMax: 6 };
const METHODS = ["GET", "GET", "GET", "HEAD", "CONNECT"];
/** Bytes that mean something to the parser. */
const TELLING = Buffer.from("\r\n\r\n \t:;,0123456789abcdefABCDEFxHTTP/1.1\0\xff", "latin1");
const STRAY = Buffer.from("stray");

const seeds = parseOddAnswers(readFileSync(ODD_ANSWERS_FILE, "utf8"))
  .map(({ raw }) => raw)
  .filter((raw) => raw.length > 0 && raw.length <= SEED_BYTES_MAX);

test(`${MUTATIONS} mutated answers give the same however they are split, or the same HttpError`, () => {
  const below = generator(Number(process.env.FETCHBOX_FUZZ_SEED ?? 20_240_613));
  const pick = <T>(values: readonly T[], otherwise: T): T => values[below(values.length)] ?? otherwise;
  const outcomes = new Set<string>();
  for (let round = 0; round < MUTATIONS; round++) {
    let bytes = pick(seeds, STRAY);
    for (let times = 1 + below(4); times > 0; times--) bytes = mutate(bytes, pick(seeds, STRAY), below);
    if (bytes.length === 0) continue;
    const asked = { method: pick(METHODS, "GET"), limits: LIMITS };
    const whole = record([bytes], asked);
    const pieces = below(8) === 0 ? singleBytes(bytes) : cut(bytes, below);
    const split = record(pieces, asked);
    if (!Bun.deepEquals(whole, split)) throw new Error(`round ${round}: ${JSON.stringify({ asked, whole, split })}`);
    checkWhole(whole, bytes);
    if (whole.events.at(-1) === "complete") expect(record([bytes, STRAY], asked).events).toEqual([...whole.events]);
    outcomes.add(typeof whole.outcome === "string" ? whole.outcome : whole.outcome.kind);
  }
  // The mutations are worth something only if they reach every end.
  if (MUTATIONS >= 1000) {
    expect([...outcomes].sort()).toEqual(["closed", "head-too-large", "idle", "protocol", "truncated", "until-close"]);
  }
}, 600_000);

function checkWhole({ events, bodyBytes, outcome, isClean }: Recording, bytes: Buffer): void {
  if (bodyBytes > bytes.length) throw new Error("more body than bytes");
  if (events.includes("an empty chunk")) throw new Error("an empty chunk");
  const isComplete = events.at(-1) === "complete";
  if (isComplete !== (outcome === "idle")) throw new Error("a complete answer and an answer outstanding");
  if (isClean && !isComplete) throw new Error("clean before the end");
  const length = /"kind":"length","bytes":(\d+)/.exec(events[0] ?? "")?.[1];
  if (isComplete && length !== undefined && bodyBytes !== Number(length)) throw new Error("not as long as announced");
}

function mutate(bytes: Buffer, other: Buffer, below: (limit: number) => number): Buffer {
  const at = below(bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + below(12));
  const [before, part, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
  switch (below(8)) {
    case 0:
      return Buffer.concat([before, Buffer.from(part.map((byte) => byte ^ (1 << below(8)))), after]);
    case 1:
      return Buffer.concat([before, Buffer.from([below(256)]), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([
        before,
        TELLING.subarray(below(TELLING.length)).subarray(0, 1 + below(3)),
        bytes.subarray(at),
      ]);
    case 3:
      return Buffer.concat([before, after]);
    case 4:
      return Buffer.concat([before, part, part, after]);
    case 5:
      return Buffer.concat([before, other.subarray(below(other.length + 1))]);
    case 6:
      return Buffer.from(before);
    default:
      return Buffer.concat([bytes, other]);
  }
}

function cut(bytes: Buffer, below: (limit: number) => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + below(below(2) === 0 ? 4 : bytes.length));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

/** Whole numbers below a limit, the same on every run (mulberry32). */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit);
  };
}
