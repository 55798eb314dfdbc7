import { clipEnd, clipMiddle, printable } from "./terminal-text.ts";

interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly isNumber?: true;
  /** A sentence, whose beginning matters most. Of a name the end does, too. */
  readonly isText?: true;
  /** Gives way where the terminal is too narrow. */
  readonly isElastic?: true;
  /** Gives way only when all else has given way or is gone. */
  readonly isElasticAtLast?: true;
  /** Goes where that does not suffice: the highest number first. */
  readonly expendable?: number;
}

const GAP = "  ";
const NARROWEST = 8;

/** Rows under their titles, as wide as the terminal at most; as wide as they are where there is none. */
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

/** A column that is shown, and how many characters it has. */
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
    const willing = fitted.filter(canGive);
    const asked = willing.length > 0 ? willing : fitted.filter(canGiveAtLast);
    const [widest] = asked.toSorted((a, b) => b.chars - a.chars);
    if (widest === undefined) break;
    widest.chars--;
  }
  return fitted;
}

function canGive({ column, chars }: Fitted): boolean {
  return column.isElastic === true && chars > NARROWEST;
}

function canGiveAtLast({ column, chars }: Fitted): boolean {
  return column.isElasticAtLast === true && chars > NARROWEST;
}

function widthOf(fitted: readonly Fitted[]): number {
  return fitted.reduce((sum, { chars }) => sum + chars, GAP.length * (fitted.length - 1));
}

/** When all that can give has given. */
function leastOf(fitted: readonly Fitted[]): number {
  return widthOf(fitted.map((each) => (canGive(each) ? { ...each, chars: NARROWEST } : each)));
}
