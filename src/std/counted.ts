/** A number of things for people: `1 dead letter`, `2,000 dead letters`. */
export function counted(count: number, what: string): string {
  return `${countText(count)} ${nounFor(count, what)}`;
}

/** A whole number for people: `49,776`. */
export function countText(count: number): string {
  return count.toLocaleString("en-US");
}

/** A number of things in plain digits, for messages that also programs read: `1 byte`, `2000 bytes`. */
export function numbered(count: number, what: string): string {
  return `${count} ${nounFor(count, what)}`;
}

function nounFor(count: number, what: string): string {
  return count === 1 ? what : `${what}s`;
}
