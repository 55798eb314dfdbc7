import { clipEnd, clipMiddle, printable } from "./terminal-text.ts";

interface Column {
  readonly title: string;
  /** Numbers are aligned to the right. */
  readonly isNumber?: true;
  /** A sentence, of which a narrow cell shows the beginning. Of a name it shows the end too. */
  readonly isText?: true;
  /** The column shrinks on a narrow terminal. */
  readonly isElastic?: true;
  /** The column shrinks only after all elastic and expendable columns. */
  readonly isElasticAtLast?: true;
  /** The column disappears if shrinking does not suffice: the highest number first. */
  readonly expendable?: number;
}

const GAP = "  ";
const NARROWEST = 8;

/** Rows under their titles, at most as wide as the terminal; `undefined` as the width means no limit. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width?: number): string {
  const texts = [columns.map(({ title }) => title), ...rows.map((row) => row.map(printable))];
  const fitted = fit(columns, texts, width);
  const lines = texts.map((row) =>
    fitted
      .map(({ at, column, chars }) => {
        const clip = column.isText === true ? clipEnd : clipMiddle;
        const cell = clip(row[at] ?? "", chars);
        const space = " ".repeat(Math.max(0, chars - Bun.stringWidth(cell)));
        return column.isNumber === true ? space + cell : cell + space;
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** A visible column and its width in characters. */
interface Fitted {
  readonly at: number;
  readonly column: Column;
  chars: number;
}

function fit(columns: readonly Column[], texts: readonly (readonly string[])[], width: number | undefined): Fitted[] {
  let fitted = columns.map(
    (column, at): Fitted => ({ at, column, chars: Math.max(...texts.map((row) => Bun.stringWidth(row[at] ?? ""))) }),
  );
  if (width === undefined) return fitted;
  while (leastOf(fitted) > width) {
    const [first] = fitted
      .filter(({ column }) => column.expendable !== undefined)
      .toSorted((a, b) => (b.column.expendable ?? 0) - (a.column.expendable ?? 0));
    if (first === undefined) break;
    fitted = fitted.filter((each) => each !== first);
  }
  for (let over = widthOf(fitted) - width; over > 0; over--) {
    const elastic = fitted.filter(canShrink);
    const candidates = elastic.length > 0 ? elastic : fitted.filter(canShrinkAtLast);
    const [widest] = candidates.toSorted((a, b) => b.chars - a.chars);
    if (widest === undefined) break;
    widest.chars--;
  }
  return fitted;
}

function canShrink({ column, chars }: Fitted): boolean {
  return column.isElastic === true && chars > NARROWEST;
}

function canShrinkAtLast({ column, chars }: Fitted): boolean {
  return column.isElasticAtLast === true && chars > NARROWEST;
}

function widthOf(fitted: readonly Fitted[]): number {
  return fitted.reduce((sum, { chars }) => sum + chars, GAP.length * (fitted.length - 1));
}

/** The width once every elastic column has shrunk. */
function leastOf(fitted: readonly Fitted[]): number {
  return widthOf(fitted.map((each) => (canShrink(each) ? { ...each, chars: NARROWEST } : each)));
}
