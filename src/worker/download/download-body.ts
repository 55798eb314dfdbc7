import type { HttpResponse } from "../../http/connection.ts";
import { BODY_START_BYTES, Failure, withBodyStart } from "../../jobs/failure.ts";
import type { Clock } from "../../std/clock.ts";
import { numbered } from "../../std/counted.ts";
import type { Attempt } from "../attempt.ts";
import type { BodyWatch } from "./body-watch.ts";
import { toFailure } from "./http-failure.ts";

/** Smaller chunks are joined. */
const JOINED_BYTES = 16 * 1024;
/** A body that stalls holds the worker of a failed attempt no longer than this. */
const START_WAIT_MS = 1000;

type Traced = Pick<Attempt, "trace">;

/** An answer's body, chunk by chunk. The watch sees every chunk, and the end is checked against the declared size. */
export class Body {
  #response: HttpResponse;
  #declared: number | undefined;
  readonly #trace: Attempt["trace"];
  readonly #signal: AbortSignal;
  readonly #watch: BodyWatch;
  #ended = false;
  #bytes = 0;

  constructor(response: HttpResponse, { trace, signal }: Pick<Attempt, "trace" | "signal">, watch: BodyWatch) {
    this.#response = response;
    this.#declared = declaredBytes(response);
    this.#trace = trace;
    this.#signal = signal;
    this.#watch = watch;
  }

  /** Bytes read so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the whole body; `undefined` where the answer does not declare them. */
  get declared(): number | undefined {
    return this.#declared;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Continues with the rest from another connection; `total` is the size of the whole body. */
  continueWith(rest: HttpResponse, total: number): void {
    this.#response.body.discard();
    this.#response = rest;
    this.#declared = total;
  }

  /** The next chunk; `undefined` at the end. @throws Failure, or the signal's reason */
  async next(): Promise<Uint8Array | undefined> {
    const chunk = await this.#read();
    if (chunk === undefined) {
      this.#end();
      return undefined;
    }
    this.#took(chunk);
    return this.#withReady(chunk);
  }

  /** The body's start in one piece: the whole body if it ends within `limit` bytes, else a little over `limit`. */
  async upTo(limit: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    while (this.#bytes <= limit) {
      const chunk = this.#ready() ?? (await this.next());
      if (chunk === undefined) break;
      chunks.push(chunk);
      if (this.#isWhole()) break;
    }
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  }

  /** Closes the connection, unless the body has been read to its end. */
  close(): void {
    this.#response.body.discard();
  }

  /** Joins a chunk with those that have arrived already: each tiny chunk would cost a write to the storage. */
  #withReady(first: Uint8Array): Uint8Array {
    const chunks = [first];
    let bytes = first.length;
    while (bytes < JOINED_BYTES) {
      const chunk = this.#ready();
      if (chunk === undefined) break;
      chunks.push(chunk);
      bytes += chunk.length;
    }
    return chunks.length === 1 ? first : Buffer.concat(chunks, bytes);
  }

  /** The next chunk, if it has arrived already. */
  #ready(): Uint8Array | undefined {
    this.#signal.throwIfAborted();
    const chunk = this.#response.body.readReady();
    if (chunk !== undefined) this.#took(chunk);
    return chunk;
  }

  /** Whether the end has arrived already. */
  #isWhole(): boolean {
    if (!this.#response.body.isRead) return false;
    this.#end();
    return true;
  }

  #took(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#watch.received(this.#bytes);
    this.#trace.bytes = this.#bytes;
  }

  #end(): void {
    this.#ended = true;
    this.#trace.stage = "storing";
    if (this.#declared !== undefined && this.#bytes !== this.#declared) throw this.#truncated();
  }

  async #read(): Promise<Uint8Array | undefined> {
    this.#signal.throwIfAborted();
    try {
      return await this.#response.body.read();
    } catch (error) {
      this.#signal.throwIfAborted();
      const failure = toFailure(error);
      if (failure instanceof Failure && isCutShort(failure)) throw this.#truncated(failure);
      throw failure;
    }
  }

  #truncated(cause?: unknown): Failure {
    const [seen, declared] = [this.#bytes, this.#declared];
    const end = declared === undefined ? numbered(seen, "byte") : `${seen} of ${numbered(declared, "byte")}`;
    return new Failure("DOWNLOAD_TRUNCATED", `the body ended after ${end}`, { cause });
  }
}

/** The body's size by the head; `undefined` where only the body itself shows its end. */
export function declaredBytes({ framing }: HttpResponse): number | undefined {
  if (framing.kind === "none") return 0;
  return framing.kind === "length" ? framing.bytes : undefined;
}

/**
 * The same failure, with the start of the answer's body: it shows an error message, a login page or another file.
 * Waits shortly for these bytes, until the attempt is aborted at most, and discards the rest. Never rejects.
 */
export async function withStartOf(
  body: HttpResponse["body"],
  failure: Failure,
  attempt: Traced,
  clock: Clock,
): Promise<Failure> {
  return withBodyStart(failure, await readStart(body, attempt, clock));
}

async function readStart(body: HttpResponse["body"], { trace }: Traced, clock: Clock): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // A read rejects when its body is discarded, and when the attempt is aborted.
  const timer = clock.after(START_WAIT_MS, () => body.discard());
  try {
    while (bytes < BODY_START_BYTES) {
      const chunk = await body.read();
      if (chunk === undefined) break;
      chunks.push(chunk);
      bytes += chunk.length;
      trace.bytes += chunk.length;
    }
  } catch {
    // The failure is decided already, and the bytes before the error still explain it.
  }
  timer.cancel();
  body.discard();
  return Buffer.concat(chunks, bytes);
}

/** Whether the connection ended within the body, in either way. */
function isCutShort({ code }: Failure): boolean {
  return code === "DOWNLOAD_RESET" || code === "DOWNLOAD_TRUNCATED";
}
