import { expect, test } from "bun:test";
import { formatTraceparent, newSpanId, newTraceId, parseTraceparent } from "../../src/net/trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("a context is read and written", () => {
  const header = `00-${TRACE}-${SPAN}-01`;
  const context = parseTraceparent(header);
  expect(context).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
  expect(context && formatTraceparent(context)).toBe(header);
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled).toBe(false);
});

test("a later version may say more than ours", () => {
  expect(parseTraceparent(`01-${TRACE}-${SPAN}-03-more`)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
});

test.each([
  undefined,
  "",
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE}1-${SPAN}-01`,
  ` 00-${TRACE}-${SPAN}-01`,
])("%p is no context", (header) => {
  expect(parseTraceparent(header)).toBeUndefined();
});

test("new ids are random hex of the right length and never all zero", () => {
  const counting = (bytes: Uint8Array) => bytes.map((_, index) => index + 1);
  expect(newTraceId(counting)).toBe("0102030405060708090a0b0c0d0e0f10");
  expect(newSpanId(counting)).toBe("0102030405060708");
  expect(newTraceId((bytes) => bytes)).toBe(`${"0".repeat(31)}1`);
});
