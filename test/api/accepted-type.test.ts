import { expect, test } from "bun:test";
import { acceptedType } from "../../src/api/http/accepted-type.ts";

const TYPES = ["application/json", "text/event-stream", "application/x-ndjson"] as const;

test.each([
  [null, "application/json"],
  ["*/*", "application/json"],
  ["text/event-stream", "text/event-stream"],
  ["Text/Event-Stream; charset=utf-8", "text/event-stream"],
  ["application/x-ndjson, */*;q=0.1", "application/x-ndjson"],
  ["text/event-stream;q=0", "application/json"],
  ["application/json, text/event-stream;q=0.1", "application/json"],
  ["application/json;q=0.2, text/event-stream;q=0.9", "text/event-stream"],
  ["text/*", "text/event-stream"],
  ["text/html", "application/json"],
  ["", "application/json"],
  [";;,,q=", "application/json"],
] as const)("%p is answered with %s", (accept, type) => {
  expect(acceptedType(accept, TYPES)).toBe(type);
});
