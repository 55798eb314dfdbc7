import { isatty } from "node:tty";
import type { Log } from "../telemetry/log.ts";

/** Signals that other programs reload or rotate logs by, and that would end the process. */
const MEANINGLESS = ["SIGUSR1", "SIGUSR2"] as const;
const STDIN = 0;
const STDOUT = 1;

/** What `serve` is told by signals from its first moment on. */
export interface Hangups {
  /** Leads each SIGHUP to a call of `act`, those that came before to one in all. */
  readonly begin: (act: () => Promise<void>) => void;
  readonly isTerminalGone: () => boolean;
}

/** To be called before anything is loaded: the program that starts a service may tell it to reload soon after. */
export function hearEarly(): Hangups {
  return { begin: hearHangups(), isTerminalGone: watchTerminal() };
}

/**
 * Hears SIGHUP from now on, which ends the process no more. Once the result is called, each one leads to a call of
 * `act`, those that came before to one in all. Those that come during a call lead to one more.
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
  return (begun) => {
    act = begun;
    void actWhileDue();
  };
}

/**
 * Says whether a terminal that standard input or output is now is closed later: nobody sees or stops the process then.
 */
function watchTerminal(): () => boolean {
  const terminals = [STDIN, STDOUT].filter((fd) => isatty(fd));
  return () => terminals.some((fd) => !isatty(fd));
}

/** Signals that mean nothing to the service do not end it. */
export function ignoreOtherSignals(log: Log): void {
  for (const signal of MEANINGLESS) {
    process.on(signal, () => log.info({ signal }, "a signal that means nothing here; SIGHUP reloads, SIGTERM stops"));
  }
}
