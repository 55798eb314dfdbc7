import { signal } from "@preact/signals";

/** Name of the instance behind this page; dialogs show it, so that operators know which one they change. */
export const instanceName = signal("");

/** Only the answer about the session has the name, for a session with a role. */
export function noteInstance(headers: Headers): void {
  instanceName.value = headers.get("x-fetchbox-instance") ?? instanceName.value;
}

/** A colour of the instance's own, from its name. */
export function instanceColor(name: string): string {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return `hsl(${hash} 65% 30%)`;
}
