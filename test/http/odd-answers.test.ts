import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { curlVerdict } from "./curl-verdict.ts";
import { agrees, ODD_ANSWERS_FILE, parseOddAnswers, verdictOn } from "./odd-answers.ts";

const text = readFileSync(ODD_ANSWERS_FILE, "utf8");
const answers = parseOddAnswers(text);
const curl = Bun.which("curl");
/** The version whose verdicts are recorded; others may have learnt since. */
const CURL_VERSION = "curl 7.88.1";

describe("odd answers", () => {
  test("every line of the table is a row, and no name is there twice", () => {
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(answers.length).toBe(lines.length);
    expect(new Set(answers.map(({ name }) => name)).size).toBe(answers.length);
  });

  test.each(answers.map((answer) => [answer.name, answer] as const))("%s", (_, answer) => {
    expect(verdictOn(answer)).toBe(answer.ours);
  });

  test("only a row that differs from curl has a reason", () => {
    const unexplained = answers.filter((answer) => !agrees(answer) && answer.why === "");
    const needless = answers.filter((answer) => agrees(answer) && answer.why !== "");
    expect([...unexplained, ...needless].map(({ name }) => name)).toEqual([]);
  });

  const version = curl === null ? "" : Bun.spawnSync([curl, "--version"]).stdout.toString();
  if (curl === null || !version.startsWith(`${CURL_VERSION} `)) {
    console.log(`odd answers: not compared with curl, because ${CURL_VERSION} is not installed`);
  } else {
    // Those for which curl would wait until its time is over are left out.
    const quick = answers.filter((answer) => !answer.curl.startsWith("28"));
    const sample = quick.filter((_, at) => at % Math.ceil(quick.length / 10) === 0);
    test.each(sample.map((answer) => [answer.name, answer] as const))("curl on: %s", async (_, answer) => {
      expect(await curlVerdict(curl, answer)).toBe(answer.curl);
    });
  }
});
