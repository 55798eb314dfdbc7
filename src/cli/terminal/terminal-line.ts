import { visibleText } from "../../std/visible-text.ts";
import type { CliContext } from "../context.ts";

export interface TerminalLine {
  (text: string): void;
  clear(): void;
  done(): void;
}

/** Whether the environment allows colours: https://no-color.org/ */
export function hasColours(env: CliContext["env"]): boolean {
  return (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/** Lines of the terminal that each call rewrites; `undefined` without a terminal that can move its cursor. */
export async function terminalLine(env: CliContext["env"]): Promise<TerminalLine | undefined> {
  if (!process.stdout.isTTY || env["TERM"] === "dumb") return undefined;
  // Loaded here, so that a process without a terminal, like the service, starts without it.
  const screen = (await import("log-update")).createLogUpdate(process.stdout);
  return Object.assign((text: string) => screen(visibleText(text)), {
    clear: () => screen.clear(),
    done: () => screen.done(),
  });
}
