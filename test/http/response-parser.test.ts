import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type HttpErrorKind } from "../../src/http/http-error.ts";
import { ResponseParser, type ResponseSink } from "../../src/http/message/response-parser.ts";
import { ODD_ANSWERS_FILE, parseOddAnswers } from "./odd-answers.ts";
import { kindOf, LIMITS, record, singleBytes, splitsOf } from "./recorded-answer.ts";

const LENGTH_2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
/** Cutting a message at every place takes time that grows with the square of its length. */
const SPLIT_BYTES_MAX = 700;

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function newParser(sink: Partial<ResponseSink> = {}, limits = LIMITS): ResponseParser {
  return new ResponseParser(limits, { head() {}, body() {}, complete() {}, ...sink });
}

interface Row {
  readonly answer: string;
  readonly method?: string;
  readonly body?: string;
  readonly outcome: string;
  readonly isClean?: boolean;
}

const rows: Readonly<Record<string, Row>> = {
  "a length": { answer: `${LENGTH_2}ok`, body: "ok", outcome: "idle", isClean: true },
  "a length and more": { answer: `${LENGTH_2}ok\r\n`, body: "ok", outcome: "idle" },
  "a length cut off": { answer: `${LENGTH_2}o`, body: "o", outcome: "truncated" },
  "no body yet": { answer: LENGTH_2, outcome: "truncated" },
  "an empty body": { answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", outcome: "idle", isClean: true },
  "to be closed": {
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    body: "ok",
    outcome: "idle",
  },
  "until the close": { answer: "HTTP/1.1 200 OK\r\n\r\nok\r\n", body: "ok\r\n", outcome: "until-close" },
  HEAD: { answer: LENGTH_2, method: "HEAD", outcome: "idle", isClean: true },
  "HEAD and a body": { answer: `${LENGTH_2}ok`, method: "HEAD", outcome: "idle" },
  CONNECT: { answer: "HTTP/1.0 200 Connected\r\n\r\n", method: "CONNECT", outcome: "idle", isClean: true },
  "CONNECT and more": { answer: "HTTP/1.1 200 Connected\r\n\r\nx", method: "CONNECT", outcome: "idle" },
  "CONNECT refused": {
    answer: "HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno",
    method: "CONNECT",
    body: "no",
    outcome: "idle",
    isClean: true,
  },
  chunks: {
    answer: `${CHUNKED}2\r\nok\r\n3;x="\n`,
    body: "ok",
    outcome: "truncated",
  },
  "chunks, extensions, trailers": {
    answer: `${CHUNKED}2;a=b\r\nok\r\nA  \r\n, and more\r\n00;c\r\nX: a\r\n b\r\nY:\r\n\r\n`,
    body: "ok, and more",
    outcome: "idle",
    isClean: true,
  },
  "chunks with lone LFs": { answer: `${CHUNKED}2\nok\n0\nX: a\n\n`, body: "ok", outcome: "idle", isClean: true },
  "chunks and more": { answer: `${CHUNKED}2\r\nok\r\n0\r\n\r\n\r\n`, body: "ok", outcome: "idle" },
  "an error after a chunk": { answer: `${CHUNKED}2\r\nok\r\nx\r\n`, body: "ok", outcome: "protocol" },
  "an error in the trailers": { answer: `${CHUNKED}2\r\nok\r\n0\r\nx\r\n\r\n`, body: "ok", outcome: "protocol" },
  "interim answers": { answer: `${CONTINUE}\r\n${CONTINUE}${LENGTH_2}ok`, body: "ok", outcome: "idle", isClean: true },
  "lone LFs": { answer: `${LENGTH_2}ok`.replaceAll("\r", ""), body: "ok", outcome: "idle", isClean: true },
  "a lone LF ends the head, CRLFs stand in the body": {
    answer: "HTTP/1.1 200 OK\nContent-Length: 6\n\na\n\r\n\r\n",
    body: "a\n\r\n\r\n",
    outcome: "idle",
    isClean: true,
  },
  "empty lines before": { answer: `\r\n\n\r\n${LENGTH_2}ok`, body: "ok", outcome: "idle", isClean: true },
};

describe("an answer", () => {
  test.each(Object.entries(rows))("with %s", (_, { answer, method = "GET", body, outcome, isClean = false }) => {
    const recording = record([bytesOf(answer)], { method });
    const bodies = recording.events.filter((event) => event.startsWith("body "));
    expect(bodies).toEqual(body === undefined ? [] : [`body ${body}`]);
    expect(typeof recording.outcome === "string" ? recording.outcome : recording.outcome.kind).toBe<string>(outcome);
    expect(recording.events.includes("complete")).toBe(outcome === "idle");
    expect(recording.isClean).toBe(isClean);
    for (const pieces of splitsOf(bytesOf(answer))) expect(record(pieces, { method })).toEqual(recording);
  });

  const odd = parseOddAnswers(readFileSync(ODD_ANSWERS_FILE, "utf8"));
  test("that is odd gives the same wherever it is cut", () => {
    for (const { raw, method } of odd.filter((each) => each.raw.length <= SPLIT_BYTES_MAX)) {
      const whole = record([raw], { method });
      for (const pieces of splitsOf(raw)) {
        if (!Bun.deepEquals(record(pieces, { method }), whole)) expect(record(pieces, { method })).toEqual(whole);
      }
    }
  });

  test("that is odd and large gives the same byte by byte", () => {
    for (const { raw, method } of odd.filter((each) => each.raw.length > SPLIT_BYTES_MAX)) {
      expect(record(singleBytes(raw), { method })).toEqual(record([raw], { method }));
    }
  });
});

describe("the limits", () => {
  const limits = { headBytesMax: CONTINUE.length + LENGTH_2.length, fieldsMax: 2 };
  const kind = (answer: string): HttpErrorKind | undefined => {
    const { outcome } = record([bytesOf(answer)], { limits });
    for (const pieces of splitsOf(bytesOf(answer))) expect(record(pieces, { limits }).outcome).toEqual(outcome);
    return typeof outcome === "string" ? undefined : outcome.kind;
  };

  test("bound the bytes of all heads of an answer together", () => {
    expect(kind(`${CONTINUE}${LENGTH_2}ok`)).toBeUndefined();
    expect(kind(`${CONTINUE}${LENGTH_2.replace("OK", "OKAY")}ok`)).toBe("head-too-large");
    expect(kind(LENGTH_2.replace("OK", "x".repeat(CONTINUE.length + 2)))).toBeUndefined();
    expect(kind(LENGTH_2.replace("OK", "x".repeat(CONTINUE.length + 3)))).toBe("head-too-large");
    expect(kind(`HTTP/1.1 200 ${"x".repeat(limits.headBytesMax)}`)).toBe("head-too-large");
  });

  test("tell garbage from a large head also where an interim head has used them up", () => {
    const spent = CONTINUE.replace("Continue", "x".repeat(limits.headBytesMax - CONTINUE.length + "Continue".length));
    expect(kind(`${spent}HTT\r\n`)).toBe("protocol");
    expect(kind(`${spent}HTTP/`)).toBeUndefined();
    expect(kind(`${spent}${LENGTH_2}ok`)).toBe("head-too-large");
  });

  test("bound the bytes and the number of trailers", () => {
    const start = `${CHUNKED}0\r\n`;
    expect(kind(`${start}X: ${"x".repeat(limits.headBytesMax - 7)}\r\n\r\n`)).toBeUndefined();
    expect(kind(`${start}X: ${"x".repeat(limits.headBytesMax - 6)}\r\n\r\n`)).toBe("head-too-large");
    expect(kind(`${start}X: ${"x".repeat(limits.headBytesMax)}`)).toBe("head-too-large");
    expect(kind(`${start}X: 1\r\nX: 2\r\nX: 3\r\n\r\n`)).toBe("head-too-large");
  });

  test("bound the empty lines before each head, and the interim heads of each answer", () => {
    const lines = "\r\n".repeat(4);
    const heads = `${lines}${CONTINUE}`.repeat(20);
    const parser = newParser();
    for (let answers = 0; answers < 2; answers++) {
      parser.begin("GET");
      parser.feed(bytesOf(`${heads}${lines}${LENGTH_2}ok`));
    }
    expect(parser.isClean).toBe(true);
  });

  test("begin anew with each answer", () => {
    const parser = newParser({}, limits);
    for (let answers = 0; answers < 3; answers++) {
      parser.begin("GET");
      parser.feed(bytesOf(`${CONTINUE}${LENGTH_2}ok`));
    }
    expect(parser.isClean).toBe(true);
  });

  test("let the extensions of chunks grow with their data, and no further", () => {
    const extension = ";".padEnd(1000, "e");
    const chunk = (size: number) => `${size.toString(16)}${extension}\r\n${"x".repeat(size)}\r\n`;
    const modest = record([bytesOf(`${CHUNKED}${chunk(1000).repeat(200)}0\r\n\r\n`)]);
    expect([modest.outcome, modest.bodyBytes]).toEqual(["idle", 200_000]);
    const excessive = record([bytesOf(`${CHUNKED}${chunk(1).repeat(200)}0\r\n\r\n`)]);
    expect(excessive.outcome).toMatchObject({ kind: "protocol" });
  });
});

describe("the parser", () => {
  test("passes on views of the pieces, and pieces within a body as they are", () => {
    const chunks: Uint8Array[] = [];
    const parser = newParser({ body: (chunk) => chunks.push(chunk) });
    parser.begin("GET");
    const head = bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    const [first, second, third] = [head.subarray(0, 10), head.subarray(10), new Uint8Array([1, 2, 3])];
    for (const piece of [first, second, third, third]) parser.feed(piece);
    expect(chunks.map((chunk) => chunk.length)).toEqual([3, 3, 3]);
    expect(chunks[0]?.buffer).toBe(head.buffer);
    expect(chunks[1]).toBe(third);
    expect(parser.isClean).toBe(true);
  });

  test("refuses bytes that are not HTTP at the first one", () => {
    for (const [start, next] of [
      ["", "<"],
      ["\r\n", " "],
      ["HTTP", "S"],
      ["\r", "H"],
      ["\r", "\r"],
      [CONTINUE, "x"],
    ] as const) {
      const parser = newParser();
      parser.begin("GET");
      parser.feed(bytesOf(start));
      expect(kindOf(() => parser.feed(bytesOf(next)))).toBe("protocol");
    }
  });

  test("is failed after an error, and throws the same error again", () => {
    const parser = newParser();
    parser.begin("GET");
    const errors = [bytesOf("x"), bytesOf(`${LENGTH_2}ok`)].map((bytes) => {
      try {
        parser.feed(bytes);
      } catch (error) {
        return error;
      }
      return undefined;
    });
    expect(errors[0]).toBeDefined();
    expect(errors[1]).toBe(errors[0]);
    expect(parser.isClean).toBe(false);
    expect(() => parser.begin("GET")).toThrow("cannot take one");
    expect(kindOf(() => parser.end())).toBe("protocol");
  });

  test("is unclean once a byte comes unasked", () => {
    const parser = newParser();
    expect(parser.isClean).toBe(true);
    parser.feed(new Uint8Array());
    expect(parser.isClean).toBe(true);
    parser.feed(bytesOf("HTTP/1.1 408 Request Timeout\r\n\r\n"));
    expect(parser.isClean).toBe(false);
    expect(parser.end()).toBe("idle");
  });

  test("begins no second request while an answer is outstanding", () => {
    const parser = newParser();
    parser.begin("GET");
    expect(() => parser.begin("GET")).toThrow("cannot take one");
  });

  test("knows whether an answer has started", () => {
    const parser = newParser();
    parser.begin("GET");
    expect(parser.hasBegun).toBe(false);
    parser.feed(bytesOf("H"));
    expect(parser.hasBegun).toBe(true);
    parser.feed(bytesOf(`${LENGTH_2}ok`.slice(1)));
    parser.begin("GET");
    expect(parser.hasBegun).toBe(false);
    expect(parser.end()).toBe("closed");
  });

  test("takes the next request from its event of a complete answer", () => {
    let answers = 0;
    const parser = newParser({
      complete: () => {
        answers++;
        if (answers < 3) parser.begin("GET");
      },
    });
    parser.begin("GET");
    for (const each of [`${LENGTH_2}ok`, `${CHUNKED}0\r\n\r\n`, `${LENGTH_2}ok`]) parser.feed(bytesOf(each));
    expect(answers).toBe(3);
    expect(parser.isClean).toBe(true);
  });

  test("does not take bytes behind an answer for the next one", () => {
    const clean: boolean[] = [];
    const parser = newParser({ complete: () => clean.push(parser.isClean) });
    parser.begin("GET");
    parser.feed(bytesOf(`${LENGTH_2}ok${LENGTH_2}no`));
    expect(clean).toEqual([false]);
  });
});

test("tiny chunks that come together are given together, and larger ones as they are", () => {
  const pieces: string[] = [];
  const parser = newParser({ body: (data) => void pieces.push(Buffer.from(data).toString("latin1")) });
  parser.begin("GET");
  const large = "L".repeat(4000);
  const tiny = "tiny chunks"
    .split("")
    .map((byte) => `1\r\n${byte}\r\n`)
    .join("");
  parser.feed(bytesOf(`${CHUNKED}${tiny}${(4000).toString(16)}\r\n${large}\r\n${tiny}`));
  parser.feed(bytesOf(`${tiny}1\r`));
  expect(pieces).toEqual(["tiny chunks", large, "tiny chunks", "tiny chunks"]);
  // What came before an error is given, too.
  expect(kindOf(() => parser.feed(bytesOf("\ny\r\nx\r\n")))).toBe("protocol");
  expect(pieces.at(-1)).toBe("y");
});
