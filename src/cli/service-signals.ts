import { isatty } from "node:tty";
import type { Log } from "../telemetry/log.ts";

/** Signals by which other programs reload or rotate logs. Without a listener they end the process. */
const IGNORED = ["SIGUSR1", "SIGUSR2"] as const;
const STDIN = 0;
const STDOUT = 1;

/** The SIGHUPs of a service since the start of its process. */
export interface Hangups {
  /** Calls `act` for each SIGHUP, and once for all that came earlier. */
  readonly begin: (act: () => Promise<void>) => void;
  readonly isTerminalGone: () => boolean;
}

/** Listens to SIGHUP. Call it before any other module loads: a SIGHUP may follow soon after the start. */
export function hearEarly(): Hangups {
  return { begin: hearHangups(), isTerminalGone: watchTerminal() };
}

/**
 * Listens to SIGHUP, which then no longer ends the process. The result takes `act`, and calls it for each SIGHUP: once
 * for all that came before, and once more for all that come during a call.
 */
function hearHangups(): (act: () => Promise<void>) => void {
  let act: (() => Promise<void>) | undefined;
  let isDue = false;
  let isActing = false;

  async function actWhileDue(): Promise<void> {
    if (act === undefined || isActing) return;
    isActing = true;
    while (isDue) {
      isDue = false;
      await act();
    }
    isActing = false;
  }

  process.on("SIGHUP", () => {
    isDue = true;
    void actWhileDue();
  });
  return (given) => {
    act = given;
    void actWhileDue();
  };
}

/** The result is true once the terminal of standard input or output is closed: no person sees the process then. */
function watchTerminal(): () => boolean {
  const terminals = [STDIN, STDOUT].filter((fd) => isatty(fd));
  return () => terminals.some((fd) => !isatty(fd));
}

/** Logs the signals that the service ignores, which would otherwise end it. */
export function ignoreOtherSignals(log: Log): void {
  for (const signal of IGNORED) {
    process.on(signal, () => log.info({ signal }, "signal ignored; SIGHUP reloads, SIGTERM stops"));
  }
}
