export interface Sentence {
  readonly page: string;
  /** The line where its paragraph starts. */
  readonly line: number;
  /** Without code, which stands as a lone backquote. */
  readonly text: string;
  readonly words: number;
}

/** The sentences of a page: of headings, paragraphs, items of lists and cells of tables, without blocks of code. */
export function sentencesOf(page: string, markdown: string): Sentence[] {
  return blocksOf(markdown).flatMap(({ text, line }) =>
    splitSentences(plainText(text)).map((sentence) => ({ page, line, text: sentence, words: countWords(sentence) })),
  );
}

interface Block {
  readonly text: string;
  readonly line: number;
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let paragraph: { lines: string[]; line: number } | undefined;
  let isCode = false;
  const end = () => {
    if (paragraph !== undefined) blocks.push({ text: paragraph.lines.join(" "), line: paragraph.line });
    paragraph = undefined;
  };
  for (const [index, line] of markdown.split("\n").entries()) {
    const isFence = /^\s*(?:```|~~~)/.test(line);
    if (isFence || isCode || line.trim() === "" || line.startsWith("<!--")) {
      end();
      if (isFence) isCode = !isCode;
    } else if (line.startsWith("|")) {
      end();
      for (const cell of cellsOf(line))
        blocks.push(
          ...plainText(cell)
            .split("; ")
            .map((text) => ({ text, line: index + 1 })),
        );
    } else if (/^\s*(?:#{1,6}|[-*]|\d+\.)\s/.test(line)) {
      end();
      paragraph = { lines: [line.replace(/^\s*(?:#{1,6}|[-*]|\d+\.)\s+/, "")], line: index + 1 };
      if (line.startsWith("#")) end();
    } else {
      paragraph ??= { lines: [], line: index + 1 };
      paragraph.lines.push(line.trim());
    }
  }
  end();
  return blocks;
}

function cellsOf(row: string): string[] {
  if (/^[|\s:-]+$/.test(row)) return [];
  return row
    .replaceAll("\\|", "¦")
    .split("|")
    .map((cell) => cell.trim())
    .filter((cell) => cell !== "");
}

/** Text as it is read: links are their words, and code is one word. */
function plainText(markdown: string): string {
  return markdown
    .replace(/`[^`]+`/g, "`")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/<https?:[^>]*>/g, "`")
    .replace(/\*\*/g, "");
}

/** A sentence ends with a stop before the start of another one; a colon ends the introduction of a list or a reason. */
function splitSentences(text: string): string[] {
  return text
    .split(/(?<=[.!?]\)?)\s+(?=[\p{Lu}\p{N}`"(…])|(?<=:)\s+|\s+·\s+/u)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== "");
}

function countWords(sentence: string): number {
  return sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}`]/u.test(word)).length;
}
