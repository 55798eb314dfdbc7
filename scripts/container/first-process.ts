import { readFileSync } from "node:fs";

/**
 * The child of a process that is number 1 in a process namespace, as this machine numbers it; `undefined` before it has
 * started.
 */
export function firstProcess(outer: number): number | undefined {
  const children = textOf(`/proc/${outer}/task/${outer}/children`).trim().split(" ");
  const first = children.find((child) => /^NSpid:.*\s1$/m.test(textOf(`/proc/${child}/status`)));
  return first === undefined ? undefined : Number(first);
}

/** A process may end between two looks. */
function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
