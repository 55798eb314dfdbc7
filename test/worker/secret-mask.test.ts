import { expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { Outcome } from "../../src/jobs/verdict.ts";
import { SecretMask } from "../../src/worker/secret-mask.ts";

const SECRET = 'S3cret/of+"the" test';
const mask = new SecretMask([`Bearer ${SECRET}`, SECRET]);

test.each([
  ["nothing of it", "nothing of it"],
  [`a ${SECRET} b ${SECRET}`, "a *** b ***"],
  [`Authorization: Bearer ${SECRET}`, "Authorization: ***"],
  [`text/Bearer_${SECRET}`, "text/Bearer_***"],
  [`https://h.test/?t=${encodeURIComponent(SECRET)}&u=1`, "https://h.test/?t=***&u=1"],
  [`https://h.test/${SECRET.replaceAll('"', "%22").replaceAll(" ", "%20")}/x`, "https://h.test/***/x"],
  [`redirected to ${SECRET.toLowerCase()}.test`, "redirected to ***.test"],
  [`cut: ${SECRET.slice(0, 10)}, the rest`, "cut: ***, the rest"],
  [`{"h":${JSON.stringify(SECRET)}}`, '{"h":"***"}'],
  ["S3cret", "S3cret"],
])("%j is shown as %j", (text, shown) => {
  expect(mask.text(text)).toBe(shown);
});

test("a secret is found where its first character is percent-encoded", () => {
  expect(new SecretMask(['"quoted" secret']).text("a %22quoted%22%20secret b")).toBe("a *** b");
});

test("no base64 shows it, wherever in its text the secret stands", () => {
  for (const before of ["", "a", "ab", "abc", "user:"]) {
    for (const encoding of ["base64", "base64url"] as const) {
      const shown = mask.text(Buffer.from(`${before}${SECRET} and more`).toString(encoding));
      expect(shown).toContain("***");
      expect(Buffer.from(shown.replace("***", ""), encoding).toString("latin1")).not.toContain(SECRET.slice(3, 9));
    }
  }
});

test("bytes above ASCII are found as Latin-1, as UTF-8 and percent-encoded", () => {
  const latin = new SecretMask(["geheimnis-für-alle"]);
  const utf8 = Buffer.from("geheimnis-für-alle").toString("latin1");
  for (const text of ["geheimnis-für-alle", utf8, "geheimnis-f%FCr-alle", "geheimnis-f%c3%bcr-alle"]) {
    expect(latin.text(`<${text}>`)).toBe("<***>");
  }
});

test("a failure loses only the secret, in its message, in the body's start and in its cause", () => {
  const hex = (text: string) => Buffer.from(text, "latin1").toString("hex");
  const failure = new Failure("DOWNLOAD_HTTP_503", `it said ${SECRET}`, {
    retryAfterMs: 5,
    httpStatus: 503,
    bodyStart: hex(`\xff${SECRET}\x00`),
    cause: new Error(SECRET),
  });
  const { code, message, bodyStart = "" } = failure;
  const attempt = { startedAt: 1, durationMs: 2, code, message, bodyStart, bytes: 3 };
  const shown = mask.outcome({ kind: "failed", failure, attempt });
  if (shown.kind !== "failed") throw new Error(shown.kind);
  expect(shown.attempt).toEqual({ ...attempt, message: "it said ***", bodyStart: hex("\xff***\x00") });
  expect(shown.failure).toMatchObject({ code, class: "throttled", retryAfterMs: 5, httpStatus: 503 });
  expect(shown.failure.message).toBe("it said ***");
  expect(shown.failure.cause).toBeUndefined();
});

test("an outcome without a secret stays the same object", () => {
  const failure = new Failure("DOWNLOAD_RESET", "the peer reset the connection", { cause: new Error("reset") });
  const attempt = { startedAt: 1, durationMs: 2, code: failure.code, message: failure.message, bytes: 0 };
  const failed: Outcome = { kind: "failed", failure, attempt };
  expect(mask.outcome(failed)).toBe(failed);
  expect(new SecretMask().outcome({ ...failed })).toEqual(failed);
});

test("a secret that is added is masked beside the older ones", () => {
  const grown = new SecretMask(["the-older-one"]);
  grown.add(["the-newer-one"]);
  expect(grown.text("the-older-one the-newer-one")).toBe("*** ***");
});
