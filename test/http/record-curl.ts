// Records the curl column of odd-answers.txt anew: bun test/http/record-curl.ts
import { readFile, writeFile } from "node:fs/promises";
import { curlVerdict } from "./curl-verdict.ts";
import { agrees, ODD_ANSWERS_FILE, parseOddAnswers, verdictOn, withCurl } from "./odd-answers.ts";

const curl = Bun.which("curl");
if (curl === null) throw new Error("curl is not installed");
const text = await readFile(ODD_ANSWERS_FILE, "utf8");
const verdicts = new Map<string, string>();
for (const answer of parseOddAnswers(text)) verdicts.set(answer.name, await curlVerdict(curl, answer));
const lines = text.split("\n").map((line) => withCurl(line, verdicts));
await writeFile(ODD_ANSWERS_FILE, lines.join("\n"));

for (const answer of parseOddAnswers(lines.join("\n"))) {
  const verdict = verdictOn(answer);
  if (verdict !== answer.ours) console.log(`${answer.name}: the table says ${answer.ours}, we say ${verdict}`);
  if (agrees(answer) !== (answer.why === "")) {
    console.log(`${answer.name}: ours ${answer.ours}, curl ${answer.curl}, why "${answer.why}"`);
  }
}
