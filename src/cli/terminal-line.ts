import type { createLogUpdate } from "log-update";

export type TerminalLine = ReturnType<typeof createLogUpdate>;

/** A line of the terminal that is written anew each time; nothing where there is no terminal. */
export async function terminalLine(): Promise<TerminalLine | undefined> {
  if (!process.stdout.isTTY) return undefined;
  // Loaded here: whoever has no terminal, as the service, starts without it.
  return (await import("log-update")).createLogUpdate(process.stdout);
}
