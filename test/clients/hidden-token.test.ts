import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { ClientProcess, RUNTIMES } from "./client-process.ts";

/** A wrong server that repeats the Authorization field of a request. No error of a client may contain the token. */

setDefaultTimeout(60_000);

const TOKEN = "OPERATOR/SECRET-0123";
const SAID = `Authorization: Bearer ${TOKEN}`;
const ESCAPED = SAID.replace("SECRET", "\\u0053ECRET").replace("OPERATOR/", "OPERATOR\\/");

function answer(status: string, fields: Record<string, string>, body: string): string {
  const all = { ...fields, "Content-Length": `${Buffer.byteLength(body)}`, Connection: "close" };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`;
}

const error = (text: string) =>
  `{"code":"${text}","message":"${text}","request_id":"${text}","details":[{"path":"${text}","message":"${text}"}]}`;
const JSON_TYPE = { "Content-Type": "application/json" };
const STREAM_TYPE = { "Content-Type": "text/event-stream" };

/** Answers of the wrong server, with the code of the error; `undefined`: the runtimes differ. */
const ANSWERS: readonly (readonly [string, string, string | undefined])[] = [
  ["the first line", `${SAID}\r\n\r\n`, "NETWORK_ERROR"],
  ["the status line", `HTTP/1.1 ${SAID}\r\n\r\n`, "NETWORK_ERROR"],
  ["the reason", answer(`500 ${SAID}`, { Note: SAID }, SAID), "UNEXPECTED_ANSWER"],
  ["an error", answer("400 Bad", JSON_TYPE, error(SAID)), "Authorization: Bearer ***"],
  ["an error with escapes", answer("400 Bad", JSON_TYPE, error(ESCAPED)), "Authorization: Bearer ***"],
  ["the request id", answer("400 Bad", { "X-Request-Id": SAID }, ""), "UNEXPECTED_ANSWER"],
  ["a body without JSON", answer("200 OK", JSON_TYPE, TOKEN), "UNEXPECTED_ANSWER"],
  ["the length", `HTTP/1.1 200 OK\r\nContent-Length: ${SAID}\r\n\r\n`, undefined],
  ["a chunk's length", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${SAID}\r\n`, undefined],
];
/** Answers to the request for a log. */
const STREAMS: typeof ANSWERS = [
  ["a row without JSON", answer("200 OK", STREAM_TYPE, `id: 0\ndata: ${TOKEN}\n\n`), "UNEXPECTED_ANSWER"],
  ["a row that is a text", answer("200 OK", STREAM_TYPE, `id: 0\ndata: "${TOKEN}"\n\n`), "UNEXPECTED_ANSWER"],
  ["a stream that breaks off", answer("200 OK", STREAM_TYPE, `: ${SAID}\n\n`), "NETWORK_ERROR"],
];

let text = "";
let server: Server;

beforeAll(async () => {
  server = createServer((socket) => {
    socket.on("error", () => {});
    // The clients send a head, and no more than a small body with it or after it.
    socket.once("data", () => socket.end(text));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
});

afterAll(async () => {
  await once(server.close(), "close");
});

describe.each(RUNTIMES.filter(({ absent }) => absent === undefined))("the token of $name is hidden in", (runtime) => {
  let client: ClientProcess;

  beforeAll(async () => {
    const { port } = server.address() as AddressInfo;
    client = await ClientProcess.start(runtime, { server: `http://127.0.0.1:${port}`, token: TOKEN, retries: 0 });
  });

  afterAll(() => client[Symbol.asyncDispose]());

  async function expectHidden(call: string, args: readonly unknown[], code: string | undefined): Promise<void> {
    const failure = await client.failure(call, ...args);
    expect([call, failure.isOurs, failure.code]).toEqual([call, true, code ?? expect.any(String)]);
    expect(JSON.stringify(failure)).not.toContain("SECRET");
  }

  test.each(ANSWERS)("errors for an answer with the token in %s", async (_where, reply, code) => {
    text = reply;
    for (const call of ["job", "follow"]) await expectHidden(call, ["j"], code);
    await expectHidden("submit", [{ manifest_version: "v1", resources: [] }], code);
    await expectHidden("health", [], code);
  });

  test.each(STREAMS)("errors for a log with the token in %s", async (_where, reply, code) => {
    text = reply;
    await expectHidden("follow", ["j"], code);
  });
});
