export type StopSignal = "SIGTERM" | "SIGINT" | "SIGHUP";

/**
 * Resolves with the first SIGTERM or SIGINT. A second one calls `onSecond` and ends the process at once, like a process
 * without a listener. `closed` resolves it too, and never counts as a second signal.
 */
export function stopSignal(onSecond: () => void, closed?: Promise<void>): Promise<StopSignal> {
  return new Promise((resolve) => {
    let isStopping = false;
    const hear = (signal: "SIGTERM" | "SIGINT") => {
      if (isStopping) {
        process.removeAllListeners(signal);
        onSecond();
        process.kill(process.pid, signal);
      }
      isStopping = true;
      resolve(signal);
    };
    process.on("SIGTERM", () => hear("SIGTERM"));
    process.on("SIGINT", () => hear("SIGINT"));
    void closed?.then(() => resolve("SIGHUP"));
  });
}
