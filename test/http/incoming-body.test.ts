import { describe, expect, test } from "bun:test";
import { IncomingBody } from "../../src/http/message/incoming-body.ts";
import { turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { rejectionOf } from "../support/rejection.ts";
import { bytesOf, openLine, outgoing, rigClock, textOf, watchLeaks } from "./http-rig.ts";
import { numbered } from "./raw-server.ts";
import { startOrigin } from "./scripted-origin.ts";

const expectNothingOpen = watchLeaks();
const KIB = 1024;
const BROKEN = new Error("broken");

/** A body whose connection is a list of what it was told. */
function loneBody(): { body: IncomingBody; told: string[] } {
  const told: string[] = [];
  const tell = (word: string) => () => void told.push(word);
  const connection = { pause: tell("pause"), resume: tell("resume"), abandon: tell("abandon") };
  return { body: new IncomingBody(connection), told };
}

describe("a body", () => {
  test("gives its chunks in order, then its end, again and again", async () => {
    const { body, told } = loneBody();
    body.push(Buffer.from("a"));
    body.push(Buffer.from("b"));
    expect([body.isRead, body.end]).toEqual([false, undefined]);
    body.finish("complete");
    expect([body.isRead, body.end]).toEqual([false, "complete"]);
    expect(Buffer.from((await body.read()) ?? []).toString()).toBe("a");
    expect(Buffer.from(body.readReady() ?? []).toString()).toBe("b");
    expect(body.isRead).toBe(true);
    expect([body.readReady(), await body.read(), await body.read()]).toEqual([undefined, undefined, undefined]);
    expect(told).toEqual([]);
  });

  test("gives a chunk to the read that waits for it, as it came", async () => {
    const { body } = loneBody();
    const read = body.read();
    const chunk = Buffer.from("a");
    body.push(chunk);
    body.push(Buffer.from("b"));
    body.finish("complete");
    expect(await read).toBe(chunk);
    expect(await textOf(body)).toBe("b");
  });

  test("ends the read that waits", async () => {
    for (const end of ["complete", "closed"] as const) {
      const { body } = loneBody();
      const read = body.read();
      body.finish(end);
      expect([await read, body.end, body.isRead]).toEqual([undefined, end, true]);
    }
  });

  test("gives the chunks that came before an error, then the error, again and again", async () => {
    const { body } = loneBody();
    body.push(Buffer.from("a"));
    body.fail(BROKEN, false);
    expect(body.isRead).toBe(false);
    expect(Buffer.from((await body.read()) ?? []).toString()).toBe("a");
    expect(body.readReady()).toBeUndefined();
    for (let i = 0; i < 2; i++) expect(await rejectionOf(body.read())).toBe(BROKEN);
    expect([body.end, body.isRead]).toEqual([undefined, false]);
  });

  test("rejects the read that waits, with whatever was thrown", async () => {
    for (const error of [BROKEN, "text", undefined]) {
      const { body } = loneBody();
      const failure = rejectionOf(body.read());
      body.fail(error, true);
      expect(await failure).toBe(error);
      expect(await rejectionOf(body.read())).toBe(error);
    }
  });

  test("that was aborted drops its waiting chunks", async () => {
    const { body } = loneBody();
    body.push(Buffer.from("a"));
    body.fail(BROKEN, true);
    expect(body.readReady()).toBeUndefined();
    expect(await rejectionOf(body.read())).toBe(BROKEN);
  });

  test("keeps its end, whatever comes afterwards", async () => {
    const { body, told } = loneBody();
    body.push(Buffer.from("a"));
    body.finish("complete");
    body.fail(BROKEN, true);
    body.fail(BROKEN, false);
    expect(await textOf(body)).toBe("a");
    expect([body.end, told]).toEqual(["complete", []]);
  });

  test("keeps its first error", async () => {
    const { body } = loneBody();
    body.fail(BROKEN, false);
    body.fail(new Error("another"), true);
    body.push(Buffer.from("a"));
    body.finish("complete");
    expect(body.end).toBeUndefined();
    expect(await rejectionOf(body.read())).toBe(BROKEN);
  });
});

describe("a body that waits for its reader", () => {
  test("holds the peer back above 256 KiB, once, and lets it go on when all was read", () => {
    const { body, told } = loneBody();
    body.push(numbered(128 * KIB));
    body.push(numbered(128 * KIB));
    expect(told).toEqual([]);
    body.push(numbered(4));
    body.push(numbered(4));
    expect(told).toEqual(["pause"]);
    for (let i = 0; i < 3; i++) body.readReady();
    expect(told).toEqual(["pause"]);
    body.readReady();
    expect(told).toEqual(["pause", "resume"]);
    body.push(numbered(256 * KIB + 4));
    expect(told).toEqual(["pause", "resume", "pause"]);
  });

  test("does not count chunks that a pending read takes", () => {
    const { body, told } = loneBody();
    for (let i = 0; i < 10; i++) {
      void body.read();
      body.push(numbered(256 * KIB));
    }
    expect(told).toEqual([]);
  });

  test("leaves its connection alone once it has ended, which may have another request by then", async () => {
    const { body, told } = loneBody();
    body.push(numbered(257 * KIB));
    body.finish("complete");
    await body.read();
    await body.read();
    body.discard();
    expect(told).toEqual(["pause"]);
  });

  test("holds the peer back for many tiny chunks before they take 10 MiB of memory", () => {
    const { body, told } = loneBody();
    for (let i = 0; i < 65_536; i++) body.push(Buffer.from("x"));
    expect(told).toEqual(["pause"]);
  });

  test("of many tiny chunks is read in a time that grows with their number alone", async () => {
    const spentMs = (count: number): number => {
      const { body } = loneBody();
      for (let i = 0; i < count; i++) body.push(Buffer.from("x"));
      const from = performance.now();
      while (body.readReady() !== undefined);
      return performance.now() - from;
    };
    spentMs(20_000);
    // 256 KiB in chunks of one byte: far below what a copy of the rest for each one would take.
    expect(spentMs(256 * KIB)).toBeLessThan(1000);
  });
});

describe("a body that is discarded", () => {
  test("gives its connection up, once, and rejects reads", async () => {
    const { body, told } = loneBody();
    const failure = rejectionOf(body.read());
    body.discard();
    body.discard();
    expect(told).toEqual(["abandon"]);
    expect(await failure).toMatchObject({ kind: "closed" });
    expect(await rejectionOf(body.read())).toMatchObject({ kind: "closed" });
    body.push(Buffer.from("a"));
    body.finish("complete");
    expect([body.end, body.readReady()]).toEqual([undefined, undefined]);
  });

  test("drops the waiting chunks", () => {
    const { body, told } = loneBody();
    body.push(numbered(300 * KIB));
    body.discard();
    expect([body.readReady(), told]).toEqual([undefined, ["pause", "abandon"]]);
  });

  test("after its end leaves the connection, and is at its end", async () => {
    const { body, told } = loneBody();
    body.push(Buffer.from("a"));
    body.finish("complete");
    body.discard();
    expect([await body.read(), body.isRead, told]).toEqual([undefined, true, []]);
  });

  test("after an error keeps the error, without the chunks before it", async () => {
    const { body, told } = loneBody();
    body.push(Buffer.from("a"));
    body.fail(BROKEN, false);
    body.discard();
    expect(await rejectionOf(body.read())).toBe(BROKEN);
    expect(told).toEqual([]);
  });
});

describe("a body that comes over a socket", () => {
  const LENGTH_4 = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
  const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const UNTIL_CLOSE = "HTTP/1.1 200 OK\r\n\r\n";

  test.each([
    ["a length, cut off by FIN", LENGTH_4, "ab", "end", "truncated"],
    ["a length, cut off by a reset", LENGTH_4, "ab", "resetAndDestroy", "reset"],
    ["chunks, cut off by FIN", CHUNKED, "4\r\nab", "end", "truncated"],
    ["chunks, cut off before the last one", CHUNKED, "2\r\nab\r\n", "end", "truncated"],
    ["chunks, cut off within the trailers", CHUNKED, "2\r\nab\r\n0\r\n", "end", "truncated"],
    ["chunks, cut off by a reset", CHUNKED, "2\r\nab\r\n", "resetAndDestroy", "reset"],
    ["chunks, then garbage", CHUNKED, "2\r\nab\r\nno size\r\n", "pause", "protocol"],
    ["until the close, cut off by a reset", UNTIL_CLOSE, "ab", "resetAndDestroy", "reset"],
  ] as const)("%s: what came can be read, then the error", async (_, head, text, how, kind) => {
    await using origin = await startOrigin(({ socket }) => void socket.write(head + text));
    const { connection, freed } = await openLine(origin.port, rigClock());
    const { body } = await connection.exchange(outgoing());
    if (how !== "pause") await turn();
    origin.sockets[0]?.[how]();
    await eventually("the end", () => freed[0] === false || undefined);
    expect([body.end, body.isRead]).toEqual([undefined, false]);
    let got = "";
    for (let chunk = body.readReady(); chunk !== undefined; chunk = body.readReady()) got += Buffer.from(chunk);
    expect(got).toBe("ab");
    for (let i = 0; i < 2; i++) expect(await rejectionOf(body.read())).toMatchObject({ name: "HttpError", kind });
    expect(freed).toEqual([false]);
  });

  test("names the code of the system where it was reset", async () => {
    await using origin = await startOrigin(({ socket }) => void socket.write(`${LENGTH_4}ab`));
    const { connection } = await openLine(origin.port, rigClock());
    const { body } = await connection.exchange(outgoing());
    await body.read();
    const failure = rejectionOf(body.read());
    origin.sockets[0]?.resetAndDestroy();
    expect(await failure).toMatchObject({
      kind: "reset",
      code: "ECONNRESET",
      message: "the connection broke within the body (ECONNRESET)",
    });
  });

  test("of 8 MiB is whole, by a length, in chunks and until the close", async () => {
    const bytes = numbered(8 * KIB * KIB);
    const framed = [
      Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`), bytes]),
      Buffer.concat([Buffer.from(CHUNKED), ...inChunks(bytes, 60_000), Buffer.from("0\r\n\r\n")]),
      Buffer.concat([Buffer.from(UNTIL_CLOSE), bytes]),
    ];
    await using origin = await startOrigin(({ socket, index }) => {
      socket.write(framed[index] ?? "");
      if (index === 2) socket.end();
    });
    const { connection } = await openLine(origin.port, rigClock());
    const ends: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const { body } = await connection.exchange(outgoing());
      expect((await bytesOf(body)).equals(bytes)).toBe(true);
      ends.push(body.end);
    }
    expect(ends).toEqual(["complete", "complete", "closed"]);
    expect(origin.ways).toEqual([0, 0, 0]);
  });
});

function inChunks(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  return chunks;
}

expectNothingOpen();
