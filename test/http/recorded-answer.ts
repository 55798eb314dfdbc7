import { HttpError, type HttpErrorKind } from "../../src/http/http-error.ts";
import { type Closing, ResponseParser } from "../../src/http/message/response-parser.ts";

export const LIMITS = { headBytesMax: 65_536, fieldsMax: 256 };

export interface Recording {
  /** The head, the parts of the body joined, and the completion, in order. */
  readonly events: readonly string[];
  readonly bodyBytes: number;
  /** What a close after the last piece means, or the error. */
  readonly outcome: Closing | { readonly kind: HttpErrorKind; readonly message: string };
  readonly isClean: boolean;
}

export interface Asked {
  readonly method?: string;
  readonly limits?: { readonly headBytesMax: number; readonly fieldsMax: number };
}

/** Feeds the pieces as the answer to one request and records everything that can be seen of it. */
export function record(pieces: readonly Uint8Array[], { method = "GET", limits = LIMITS }: Asked = {}): Recording {
  const events: string[] = [];
  let body: Buffer[] = [];
  let bodyBytes = 0;
  const endBody = () => {
    if (body.length > 0) events.push(`body ${Buffer.concat(body).toString("latin1")}`);
    body = [];
  };
  const parser = new ResponseParser(limits, {
    head: (head, framing) => {
      events.push(JSON.stringify({ ...head, headers: [...head.headers], framing }));
    },
    body: (chunk) => {
      if (chunk.length === 0) events.push("an empty chunk");
      body.push(Buffer.from(chunk));
      bodyBytes += chunk.length;
    },
    complete: () => {
      endBody();
      events.push("complete");
    },
  });
  parser.begin(method);
  const error = feedAll(parser, pieces);
  endBody();
  const isClean = parser.isClean;
  const outcome = error === undefined ? parser.end() : { kind: error.kind, message: error.message };
  return { events, bodyBytes, outcome, isClean };
}

/** The bytes in two pieces, cut at every place, and in pieces of one byte. */
export function* splitsOf(bytes: Uint8Array): Generator<Uint8Array[]> {
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield singleBytes(bytes);
}

export function singleBytes(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}

/** Goes on after a throw, as nobody should: the same error must come again, and no event. */
function feedAll(parser: ResponseParser, pieces: readonly Uint8Array[]): HttpError | undefined {
  let first: HttpError | undefined;
  for (const piece of pieces) {
    try {
      parser.feed(piece);
      if (first !== undefined) throw new Error("a dead parser took bytes");
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      if (first !== undefined && first !== error) throw new Error("a dead parser threw another error");
      first = error;
    }
  }
  return first;
}

/** The kind of the `HttpError` that a call throws. */
export function kindOf(call: () => unknown): HttpErrorKind | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof HttpError) return error.kind;
    throw error;
  }
}
