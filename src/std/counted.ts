/** A number of things: `1 dead letter`, `2,000 dead letters`. */
export function counted(count: number, what: string): string {
  return `${countText(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** A whole number for people: `49,776`. */
export function countText(count: number): string {
  return count.toLocaleString("en-US");
}
