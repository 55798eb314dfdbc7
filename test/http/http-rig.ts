import { expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { createConnector } from "../../src/http/connect.ts";
import { HttpConnection, type OutgoingRequest } from "../../src/http/connection.ts";
import type { HttpClient, HttpRequest } from "../../src/http/http-client.ts";
import type { IncomingBody } from "../../src/http/message/incoming-body.ts";
import type { BodySource } from "../../src/http/message/outgoing-body.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { HTTP_LIMITS } from "../support/http.ts";

export const MIB = 2 ** 20;
export const LIMITS = { connectTimeoutMs: 1000, tlsTimeoutMs: 500, tunnelTimeoutMs: 700 };

const clocks = new Set<FakeClock>();

/** A clock that `leavesNothingOpen` looks at. */
export function rigClock(): FakeClock {
  const clock = new FakeClock();
  clocks.add(clock);
  return clock;
}

/** Sockets of this process, those of servers in it too. */
export function openSockets(): number {
  return readdirSync("/proc/self/fd").filter(isSocket).length;
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:");
  } catch {
    return false;
  }
}

/** To be called before the tests of a file; what it gives, after them: then no socket and no timer may be left. */
export function watchLeaks(): () => void {
  const before = openSockets();
  return () => {
    test("nothing is left open: no socket, no timer", async () => {
      expect([...clocks].reduce((sum, clock) => sum + clock.pending, 0)).toBe(0);
      clocks.clear();
      await eventually("free descriptors", () => openSockets() <= before || undefined);
    });
  };
}

export function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

/** A client's request to a loopback origin; everything else may be said. */
export function requestTo(port: number, more: Partial<HttpRequest> = {}): HttpRequest {
  return {
    method: "GET",
    target: { addresses: ["127.0.0.1"], port },
    route: { kind: "direct" },
    path: "/",
    host: "host.test",
    fields: {},
    limits: LIMITS,
    signal: new AbortController().signal,
    ...more,
  };
}

/** Sends, and reads the answer to its end. */
export async function fetchText(client: HttpClient, request: HttpRequest): Promise<string> {
  const { status, body } = await client.send(request);
  return `${status} ${await textOf(body)}`;
}

export async function textOf(body: IncomingBody): Promise<string> {
  return (await bytesOf(body)).toString("latin1");
}

export async function bytesOf(body: IncomingBody): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export interface Line {
  readonly connection: HttpConnection;
  /** Whether it was idle each time that it told that it is free. */
  readonly freed: boolean[];
}

/** Which sockets carry a connection: Bun's, or node's, as in a tunnel with TLS. */
export type By = "connect" | "connectByNode";

/** A connection of its own, over a real socket. */
export async function openLine(port: number, clock: FakeClock, by: By = "connect"): Promise<Line> {
  const signal = new AbortController().signal;
  const target = { addresses: ["127.0.0.1"], port };
  const transport = await createConnector({ clock })[by]({ ...target, ...LIMITS, signal });
  const freed: boolean[] = [];
  const onFree = (connection: HttpConnection) => void freed.push(connection.isIdle);
  return { connection: new HttpConnection(transport, { clock, limits: HTTP_LIMITS, onFree }), freed };
}

/** A request as a connection takes it. */
export function outgoing(more: Partial<OutgoingRequest> & { readonly length?: number } = {}): OutgoingRequest {
  const { length, method = "GET", ...rest } = more;
  const fields = length === undefined ? "" : `Content-Length: ${length}\r\n`;
  const head = `${method} / HTTP/1.1\r\nHost: host.test\r\n${fields}\r\n`;
  return { method, head, body: undefined, signal: new AbortController().signal, ...rest };
}

/** A source that gives a piece when it is told to. */
export class HandedSource implements BodySource {
  /** How often it was asked. */
  asked = 0;
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined;

  next(): Promise<Uint8Array | undefined> {
    this.asked++;
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  async give(piece: Uint8Array | undefined): Promise<void> {
    (await this.#whenAsked()).resolve(piece);
    await turn();
  }

  async fail(error: unknown): Promise<void> {
    (await this.#whenAsked()).reject(error);
    await turn();
  }

  async #whenAsked(): Promise<PromiseWithResolvers<Uint8Array | undefined>> {
    const waiting = await eventually("the source to be asked", () => this.#waiting);
    this.#waiting = undefined;
    return waiting;
  }
}

/** Gives pieces one after the other. */
export function sourceOf(pieces: readonly Uint8Array[]): BodySource {
  const left = [...pieces];
  return { next: () => Promise.resolve(left.shift()) };
}
