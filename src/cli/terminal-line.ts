import type { createLogUpdate } from "log-update";
import type { CliContext } from "./program.ts";

export type TerminalLine = ReturnType<typeof createLogUpdate>;

/** Whether a terminal shows colours: https://no-color.org/ */
export function hasColours(env: CliContext["env"]): boolean {
  return (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/**
 * Lines of the terminal that are written anew each time; nothing where there is no terminal, or one that cannot move its
 * cursor.
 */
export async function terminalLine(env: CliContext["env"]): Promise<TerminalLine | undefined> {
  if (!process.stdout.isTTY || env["TERM"] === "dumb") return undefined;
  // Loaded here: whoever has no terminal, as the service, starts without it.
  return (await import("log-update")).createLogUpdate(process.stdout);
}
