import type { Exchange, Misbehaviour } from "./fault-origin.ts";
import { pattern } from "./pattern.ts";

const CHUNK = 64 * 1024;
export const BODY = "what was asked for";

/** An answer in one piece. */
export function answer(
  exchange: Exchange,
  status: number | string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Uint8Array = "",
): Promise<boolean> {
  const fields = { "Content-Length": String(body.length), ...headers };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return exchange.send(Buffer.concat([Buffer.from(`HTTP/1.1 ${status} x\r\n${head.join("")}\r\n`), bytes]));
}

/** The bytes of `/large/N`, also of those that are cut. */
export function largeBody(bytes: number): Uint8Array {
  return pattern(bytes, 7);
}

async function sendZeros(exchange: Exchange, bytes: number): Promise<boolean> {
  const zeros = new Uint8Array(CHUNK);
  for (let left = bytes; left > 0; left -= CHUNK) {
    if (!(await exchange.send(zeros.subarray(0, Math.min(left, CHUNK))))) return false;
  }
  return true;
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

const OK = "HTTP/1.1 200 OK\r\n";

/**
 * How an origin may answer, by the first part of the path; further parts are arguments. Proper answers first.
 */
export const MISBEHAVIOURS = {
  /** `/ok`: a small body of a known length. */
  ok: (exchange) => void answer(exchange, 200, { "Content-Type": "text/plain" }, BODY),
  /** `/untyped`: one that does not say what it is. */
  untyped: (exchange) => void answer(exchange, 200, {}, BODY),
  /** `/typed/TYPE`: one of a type, URL-encoded. */
  typed: (exchange) =>
    void answer(exchange, 200, { "Content-Type": decodeURIComponent(exchange.args.join("/")) }, BODY),
  /** `/page/TYPE`: a page, whatever it is called. */
  page: (exchange) => {
    const type = decodeURIComponent(exchange.args.join("/"));
    const headers: Record<string, string> = type === "" ? {} : { "Content-Type": type };
    return void answer(exchange, 200, headers, "\ufeff\n <!DOCTYPE HTML><title>Log in</title>");
  },
  empty: (exchange) => void answer(exchange, 200),
  /** `/status/N`: a status and a short body; `/status/N/VALUE` with Retry-After. */
  status: (exchange) => {
    const [status = "", retryAfter] = exchange.args;
    const headers: Record<string, string> = { "Content-Type": "text/plain" };
    if (retryAfter !== undefined) headers["Retry-After"] = decodeURIComponent(retryAfter);
    const hasBody = !/^(?:1..|204|304)$/.test(status);
    return void answer(exchange, status, headers, hasBody ? "a message" : "");
  },
  /** `/redirect/STATUS/LOCATION`, URL-encoded; without a location there is none. */
  redirect: (exchange) => {
    const [status = "", location] = exchange.args;
    const bytes = location === undefined ? undefined : Buffer.from(decodeURIComponent(location)).toString("latin1");
    const field = bytes === undefined ? "" : `Location: ${bytes}\r\n`;
    return void exchange.send(`HTTP/1.1 ${status} x\r\n${field}Content-Length: 5\r\n\r\nmoved`);
  },
  /** `/unwanted/STATUS/N`: a location, a header of N bytes, and a body without end. */
  unwanted: async (exchange) => {
    const [status, headerBytes] = exchange.args;
    const fields = `Location: /ok\r\nX-Long: ${"y".repeat(Number(headerBytes))}\r\nContent-Length: ${2 ** 40}\r\n`;
    await exchange.send(`HTTP/1.1 ${status} x\r\n${fields}\r\n`);
    await sendZeros(exchange, 2 ** 40);
  },
  loop: (exchange) => void answer(exchange, 302, { Location: exchange.target }),
  chunked: (exchange) =>
    void exchange.send(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunk("what was ")}${chunk("asked for")}0\r\n\r\n`),
  /** `/close-delimited`: a body that ends with the connection, properly. */
  "close-delimited": async (exchange) => {
    await exchange.send(`HTTP/1.0 200 OK\r\n\r\n${BODY}`);
    exchange.end();
  },
  informational: (exchange) =>
    void exchange.send(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}Content-Length: 18\r\n\r\n${BODY}`,
    ),
  /** Interim answers for as long as anybody listens. */
  "endless-informational": async (exchange) => {
    while (await exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(500)));
  },
  /** `/raw/BYTES`: those bytes, URL-encoded, and the end of the connection. */
  raw: async (exchange) => {
    await exchange.send(decodeURIComponent(exchange.args.join("/")));
    exchange.end();
  },
  /** `/kept/BYTES`: those bytes, URL-encoded, and the connection stays. */
  kept: (exchange) => void exchange.send(decodeURIComponent(exchange.args.join("/"))),
  /** `/gzip`: a coded body, as served. */
  gzip: (exchange) =>
    void answer(exchange, 200, { "Content-Encoding": "gzip", "Content-Type": "text/plain" }, Bun.gzipSync(BODY)),
  /** `/length-and-chunks`: two framings, of which the chunks count. */
  "length-and-chunks": (exchange) =>
    void exchange.send(`${OK}Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(BODY)}0\r\n\r\n`),
  /** `/large/N`: N bytes of a known length that differ from place to place. */
  large: (exchange) => void answer(exchange, 200, {}, largeBody(Number(exchange.args[0]))),
  /** `/zeros/N`: N zeros of a known length, made as they are taken. */
  zeros: async (exchange) => {
    await exchange.send(`${OK}Content-Length: ${exchange.args[0]}\r\n\r\n`);
    await sendZeros(exchange, Number(exchange.args[0]));
  },
  /** `/undeclared/N`: N zeros that end with the connection. */
  undeclared: async (exchange) => {
    await exchange.send(`${OK}Connection: close\r\n\r\n`);
    await sendZeros(exchange, Number(exchange.args[0]));
    exchange.end();
  },
  /** `/reset-undeclared/N`: N zeros, and then a reset where the end of the connection should be. */
  "reset-undeclared": async (exchange) => {
    await exchange.send(`${OK}Connection: close\r\n\r\n`);
    await sendZeros(exchange, Number(exchange.args[0]));
    exchange.reset();
  },
  /** `/transfer-coded/FIELDS/N`: fields, URL-encoded, and N zeros; the test is to end the connection. */
  "transfer-coded": async (exchange) => {
    const [fields = "", bytes] = exchange.args;
    await exchange.send(`${OK}${decodeURIComponent(fields)}\r\n\r\n`);
    await sendZeros(exchange, Number(bytes));
  },
  /** `/cookie-wall`: leads back to itself until its cookie comes. */
  "cookie-wall": (exchange) => {
    const isKnown = /(?:^|; )seen=1(?:;|$)/.test(exchange.header("cookie") ?? "");
    if (isKnown) return void answer(exchange, 200, {}, BODY);
    return void answer(exchange, 302, { "Set-Cookie": "seen=1; Path=/", Location: exchange.target });
  },
  /**
   * `/resumable/KIND/N/M`: N bytes, of which each connection brings M; KIND says what of it is not as it should be:
   * `good`, `dated` (no tag, but a date), `coded` (of a content coding), `unsized` (in chunks), `weak` (a weak tag),
   * `changed` (another version each time), `unranged` (ranges are not known), `wrong` (another range than asked for),
   * `slow` (a range brings hardly anything).
   */
  resumable: async (exchange) => {
    const [kind = "", ...numbers] = exchange.args;
    const [bytes = 0, per = 0] = numbers.map(Number);
    const body = largeBody(bytes);
    const range = /^bytes=(\d+)-$/.exec(exchange.header("range") ?? "")?.[1];
    const isWhole = range === undefined || kind === "changed" || kind === "unranged";
    const from = isWhole ? 0 : Number(range) + (kind === "wrong" ? 1 : 0);
    const tag = { weak: 'ETag: W/"v1"', changed: `ETag: "${from}${Math.random()}"`, dated: "" }[kind] ?? 'ETag: "v1"';
    const dates = "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\nLast-Modified: Tue, 24 Nov 2026 11:00:00 GMT\r\n";
    const head = isWhole ? OK : `HTTP/1.1 206 Part\r\nContent-Range: bytes ${from}-${bytes - 1}/${bytes}\r\n`;
    const coding = kind === "coded" ? "Content-Encoding: br\r\n" : "";
    const isChunked = kind === "unsized" && isWhole;
    const length = isChunked ? "Transfer-Encoding: chunked\r\n" : `Content-Length: ${bytes - from}\r\n`;
    await exchange.send(`${head}${tag === "" ? dates : `${tag}\r\n`}${coding}${length}\r\n`);
    if (isChunked) await exchange.send(`${bytes.toString(16)}\r\n`);
    await exchange.send(body.subarray(from, from + (kind === "slow" && !isWhole ? 60 * 1024 : per)));
    exchange.end();
  },
  /** `/rest-refused/STATUS/N/M/FIELDS`: M of N bytes, with a tag; the rest is refused, with fields, URL-encoded. */
  "rest-refused": async (exchange) => {
    const [status, bytes, come, fields = ""] = exchange.args;
    if (exchange.header("range") !== undefined) {
      await exchange.send(`HTTP/1.1 ${status} x\r\n${decodeURIComponent(fields)}Content-Length: 7\r\n\r\nnot now`);
      return;
    }
    await exchange.send(`${OK}ETag: "v1"\r\nContent-Length: ${bytes}\r\n\r\n`);
    await exchange.send(largeBody(Number(bytes)).subarray(0, Number(come)));
    exchange.end();
  },
  /** `/declared/N`: says that N bytes come, and sends none. */
  declared: (exchange) => void exchange.send(`${OK}Content-Length: ${exchange.args[0]}\r\n\r\n`),

  "close-at-once": (exchange) => exchange.end(),
  "reset-at-once": (exchange) => exchange.reset(),
  "reset-in-headers": async (exchange) => {
    await exchange.send("HTTP/1.1 200 OK\r\nContent-Le");
    exchange.reset();
  },
  "reset-after-headers": async (exchange) => {
    await exchange.send(`${OK}Content-Length: 18\r\n\r\n`);
    exchange.reset();
  },
  /** `/short/N`: N bytes less than declared, of 18. */
  short: async (exchange) => {
    await exchange.send(`${OK}Content-Length: 18\r\n\r\n${BODY.slice(0, 18 - Number(exchange.args[0]))}`);
    exchange.end();
  },
  /** `/cut-large/N/M`: M of N declared bytes. */
  "cut-large": async (exchange) => {
    const [bytes = 0, come = 0] = exchange.args.map(Number);
    await exchange.send(`${OK}Content-Length: ${bytes}\r\n\r\n`);
    await exchange.send(largeBody(bytes).subarray(0, come));
    exchange.end();
  },
  "cut-chunk": async (exchange) => {
    await exchange.send(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunk("what was ")}9\r\nask`);
    exchange.end();
  },
  "no-last-chunk": async (exchange) => {
    await exchange.send(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunk(BODY)}`);
    exchange.end();
  },
  "bad-chunk": (exchange) =>
    void exchange.send(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunk("what was ")}ZZ\r\nasked for`),
  garbage: (exchange) => void exchange.send("220 mail.example ESMTP ready\r\n\r\n"),
  "bad-length": (exchange) => void exchange.send(`${OK}Content-Length: -5\r\n\r\n${BODY}`),
  "two-lengths": (exchange) => void exchange.send(`${OK}Content-Length: 5\r\nContent-Length: 18\r\n\r\n${BODY}`),
  "switching-protocols": (exchange) =>
    void exchange.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
  "stalled-headers": (exchange) => void exchange.send("HTTP/1.1 200 OK\r\nContent-Le"),
  silent: () => {},
  /** `/stalled-body/N`: N of 2 N bytes, then nothing. */
  "stalled-body": async (exchange) => {
    const bytes = Number(exchange.args[0]);
    await exchange.send(`${OK}Content-Length: ${2 * bytes}\r\n\r\n`);
    await sendZeros(exchange, bytes);
  },
  /** `/header-bytes/N`: one header of N bytes. */
  "header-bytes": (exchange) => void answer(exchange, 200, { "X-Long": "y".repeat(Number(exchange.args[0])) }, BODY),
  /** `/endless-headers`: headers for as long as anybody listens. */
  "endless-headers": async (exchange) => {
    await exchange.send(OK);
    for (let i = 0; await exchange.send(`X-${i}: ${"y".repeat(8000)}\r\n`); i++);
  },
} satisfies Readonly<Record<string, Misbehaviour>>;
