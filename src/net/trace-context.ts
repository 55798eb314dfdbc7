/** W3C Trace Context, level 1: https://www.w3.org/TR/trace-context/ */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

export type FillRandom = (bytes: Uint8Array) => Uint8Array;

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** The context of a `traceparent` header; `undefined` for a missing or invalid one, which starts a new trace. */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  const match = TRACEPARENT.exec(header ?? "");
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = match;
  // Only a later version may have more fields.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** The `traceparent` header of a context. */
export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

export function newTraceId(fillRandom: FillRandom): string {
  return randomHex(16, fillRandom);
}

export function newSpanId(fillRandom: FillRandom): string {
  return randomHex(8, fillRandom);
}

function randomHex(length: number, fillRandom: FillRandom): string {
  const bytes = fillRandom(new Uint8Array(length));
  // An id of zeros means "no id".
  if (bytes.every((byte) => byte === 0)) bytes[length - 1] = 1;
  return bytes.toHex();
}
