import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ReplayRequestSchema } from "../../src/api/endpoints/dead-letter-change-endpoints.ts";
import { readHeaderLines } from "../../src/console/dialogs/header-lines.ts";
import { rateProblem, replayCommand } from "../../src/console/dialogs/replay-command.ts";
import { mayBeSecret } from "../../src/net/request-header.ts";

const NONE = { rate: "", headers: {}, pool: "" };

/** The words of a command, as a shell splits them. */
function wordsOf(command: string): string[] {
  const { stdout } = Bun.spawnSync(["sh", "-c", `set -- ${command}; printf '%s\\0' "$@"`]);
  return stdout.toString().split("\0").slice(0, -1);
}

test("the command has the rate, the headers and the pool, quoted for a shell", () => {
  const { headers } = readHeaderLines("Referer: https://a.example/?q=it's $HOME `id`\n\nAccept-Language:de\nX-Empty:");
  const { parts, masked } = replayCommand({ task_ids: [7, 8] }, { rate: "0.5", headers, pool: "residential us" });
  const given = ["Referer: https://a.example/?q=it's $HOME `id`", "Accept-Language: de", "X-Empty: "];
  expect(wordsOf(parts.join(" "))).toEqual(
    ["fetchbox", "dlq", "replay", "7", "8", "--rate", "0.5"].concat(
      given.flatMap((line) => ["--header", line]),
      ["--proxy-pool", "residential us"],
    ),
  );
  expect(masked).toEqual([]);
});

test("the command of a filter has its options, and nothing that the dialog leaves empty", () => {
  const filter = { job_type: "a b", until: "2026-11-28T02:15:03.000Z" };
  expect(replayCommand({ filter }, NONE).parts.join(" ")).toBe(
    "fetchbox dlq replay --job-type 'a b' --until 2026-11-28T02:15:03.000Z",
  );
});

test("an invalid rate is explained, and the command has a word in its place that the command line refuses", () => {
  for (const rate of ["abc", "0", "-1", "0.0005", "1000001", "Infinity", "5/s", "'; reboot"]) {
    const { parts } = replayCommand({ task_ids: [7] }, { ...NONE, rate });
    expect([rate, parts.join(" ")]).toEqual([rate, "fetchbox dlq replay 7 --rate RATE"]);
    expect(rateProblem(rate)).toBe(
      "The rate must be a number from 0.001 to 1,000,000, like 5 or 0.5. The command has RATE in its place.",
    );
  }
  const { minimum = 0, maximum = 0 } = ReplayRequestSchema.properties.rate_per_second;
  for (const rate of ["", "5", "0.5", ".5", `${minimum}`, `${maximum}`]) expect(rateProblem(rate)).toBeUndefined();
  expect([rateProblem(`${minimum / 2}`), rateProblem(`${maximum + 1}`)]).not.toContain(undefined);
});

test("the value of a header that may be a secret is not in the command", () => {
  const { headers } = readHeaderLines("Cookie: id=5up3r\nX-Api-Key:5up3r\nReferer: https://a.example/");
  const { parts, masked } = replayCommand({ task_ids: [7] }, { ...NONE, headers });
  expect(masked).toEqual(["Cookie", "X-Api-Key"]);
  expect(parts.join(" ")).toBe(
    "fetchbox dlq replay 7 --header 'Cookie:***' --header 'X-Api-Key:***' --header 'Referer: https://a.example/'",
  );
});

test("the console and the service have the same words for headers with secrets, which the documents list", () => {
  const page = readFileSync(`${import.meta.dir}/../../docs/operate/configuration.md`, "utf8");
  const [, list = ""] = /Such names contain one of these words, in\s+any letter case: ([^.]+)\./.exec(page) ?? [];
  const words = list.split(/,\s+/);
  expect(words).toContain("cookie");
  for (const name of [...words, ...words.map((word) => `X-${word.toUpperCase()}-1`), "Referer", "Accept", "X-Trace"]) {
    const { masked } = replayCommand({ task_ids: [7] }, { ...NONE, headers: { [name]: "value" } });
    expect([name, masked.length > 0]).toEqual([name, mayBeSecret(name)]);
  }
});
