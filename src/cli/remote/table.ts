import { clip, printable } from "../progress.ts";

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly isNumber?: true;
  /** Gives way where the terminal is too narrow. */
  readonly isElastic?: true;
}

const GAP = "  ";
const NARROWEST = 8;

/** Rows under their titles, as wide as the terminal at most; as wide as they are where there is none. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width?: number): string {
  const texts = [columns.map(({ title }) => title), ...rows.map((row) => row.map(printable))];
  const widths = columns.map((_, at) => Math.max(...texts.map((row) => Bun.stringWidth(row[at] ?? ""))));
  if (width !== undefined) shrink(widths, columns, width);
  const lines = texts.map((row) =>
    row
      .map((text, at) => {
        const cell = clip(text, widths[at] ?? 0);
        const space = " ".repeat(Math.max(0, (widths[at] ?? 0) - Bun.stringWidth(cell)));
        return columns[at]?.isNumber === true ? space + cell : cell + space;
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

function shrink(widths: number[], columns: readonly Column[], width: number): void {
  const elastic = columns.flatMap(({ isElastic }, at) => (isElastic === true ? [at] : []));
  let over = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - width;
  while (over > 0) {
    const widest = elastic.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined || (widths[widest] ?? 0) <= NARROWEST) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over--;
  }
}
