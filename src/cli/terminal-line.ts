import { visibleText } from "../jobs/visible-text.ts";

export interface TerminalLine {
  (text: string): void;
  clear(): void;
  done(): void;
}

/** A line of the terminal that is written anew each time; nothing where there is no terminal. */
export async function terminalLine(): Promise<TerminalLine | undefined> {
  if (!process.stdout.isTTY) return undefined;
  // Loaded here: whoever has no terminal, as the service, starts without it.
  const screen = (await import("log-update")).createLogUpdate(process.stdout);
  return Object.assign((text: string) => screen(visibleText(text)), {
    clear: () => screen.clear(),
    done: () => screen.done(),
  });
}
