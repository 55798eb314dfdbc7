import { visibleText } from "../../std/visible-text.ts";
import type { CliContext } from "../context.ts";

export interface TerminalLine {
  (text: string): void;
  clear(): void;
  done(): void;
}

/** Whether a terminal shows colours: https://no-color.org/ */
export function hasColours(env: CliContext["env"]): boolean {
  return (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/**
 * Lines of the terminal that are written anew each time; nothing where there is no terminal, or one that cannot move
 * its cursor.
 */
export async function terminalLine(env: CliContext["env"]): Promise<TerminalLine | undefined> {
  if (!process.stdout.isTTY || env["TERM"] === "dumb") return undefined;
  // Loaded here: whoever has no terminal, as the service, starts without it.
  const screen = (await import("log-update")).createLogUpdate(process.stdout);
  return Object.assign((text: string) => screen(visibleText(text)), {
    clear: () => screen.clear(),
    done: () => screen.done(),
  });
}
