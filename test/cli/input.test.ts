import { expect, test } from "bun:test";
import { detailLines } from "../../src/cli/input.ts";
import { IntakeError } from "../../src/intake/intake-error.ts";

test("each violation has a line with its place, as the command calls it", () => {
  const details = [
    { path: "/resources/2/url", message: "must be an absolute URL" },
    { path: "", message: "must be an object" },
  ];
  const error = new IntakeError("INVALID_PAYLOAD", "the manifest is invalid", { details });
  expect(detailLines(error)).toBe("\n  /resources/2/url: must be an absolute URL\n  the manifest: must be an object");
  expect(detailLines(error, () => "line 3")).toStartWith("\n  line 3: must be an absolute URL\n");
});

test("a violation that the error's message contains has no line of its own", () => {
  const details = [{ path: "", message: "is not valid JSON: expected a value" }];
  const error = new IntakeError("INVALID_PAYLOAD", "the body is not valid JSON: expected a value", { details });
  expect(detailLines(error)).toBe("");
  expect(detailLines(new IntakeError("QUEUE_FULL", "the queue is full"))).toBe("");
});
