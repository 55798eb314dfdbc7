import { describe, expect, test } from "bun:test";
import { PAGES, readPage } from "./pages.ts";
import { sentencesOf } from "./sentences.ts";

const WORDS_MAX = 25;

/** Words that have a standard one, or that hide the subject of a sentence. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bnobody\b/i, "name the subject"],
  [/\bnothing\b/i, "name the thing"],
  [/\bso many\b/i, "name the number"],
  [/\bgiv(?:e|es|en|ing) up\b|\bgave up\b/i, "discard, abandon or stop"],
  [/\bgo(?:es|ing)? on\b|\bwent on\b/i, "continue"],
  [/\bof it\b/i, "name the thing"],
  [/\bmet\b/i, "processed"],
  [/(?<!dead |dead-|capital |upper-case |lower-case )\bletters?\b(?! case|, digits)/i, "dead letter"],
  [/\bbreach(?:es)?\b/i, "violation, or inconsistency"],
  [/\bbegun\b/i, "started"],
  [/\bfollowers?\b/i, "projection, or client"],
  [/\btells?\b|\btold\b/i, "report, show or name"],
  [/\bsays?\b|\bsaid\b/i, "state, name or answer"],
  [/\bset right\b|\bput right\b/i, "repair"],
];

/** Pages that people read; the changelog keeps its history. */
const READ = PAGES.filter((page) => page !== "CHANGELOG.md");
/** Rows that other tests compare with the code, which holds their words. */
const GENERATED = /^\| `[a-z]\w*(?:\.\w+)*` \| .*$/gm;
const GENERATED_ON = ["docs/operate/configuration.md", "docs/reference/metrics.md"];
const SENTENCES = READ.flatMap((page) => {
  const text = readPage(page);
  return sentencesOf(page, GENERATED_ON.includes(page) ? text.replace(GENERATED, "") : text);
});
const shown = (sentence: (typeof SENTENCES)[number]) => `${sentence.page}:${sentence.line} ${sentence.text}`;

describe("the language of the documents", () => {
  test("there are sentences to look at", () => {
    expect(SENTENCES.length).toBeGreaterThan(300);
  });

  test(`no sentence has more than ${WORDS_MAX} words`, () => {
    expect(SENTENCES.filter(({ words }) => words > WORDS_MAX).map(shown)).toEqual([]);
  });

  test.each(BANNED)("no sentence uses %p", (pattern) => {
    expect(SENTENCES.filter(({ text }) => pattern.test(text)).map(shown)).toEqual([]);
  });

  test("no sentence starts with a clause of what or who", () => {
    const started = SENTENCES.filter(({ text }) => /^(?:what|whatever|who|whoever)\b(?!.*\?$)/i.test(text));
    expect(started.map(shown)).toEqual([]);
  });

  test("sentences are found in paragraphs, lists and tables, without code", () => {
    const prose = "# Title\n\nOne sentence\nof two `a. b` lines. Two at 1.5!\n\n- An item\n\n";
    const page = `${prose}| a | b c |\n|---|---|\n\n\`\`\`\nno\n\`\`\`\n`;
    expect(sentencesOf("p", page).map(({ text, words, line }) => [text, words, line])).toEqual([
      ["Title", 1, 1],
      ["One sentence of two ` lines.", 6, 3],
      ["Two at 1.5!", 3, 3],
      ["An item", 2, 6],
      ["a", 1, 8],
      ["b c", 2, 8],
    ]);
  });
});
