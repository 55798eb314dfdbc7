export type StopSignal = "SIGTERM" | "SIGINT" | "SIGHUP";

/**
 * The first SIGTERM or SIGINT. A second one calls `onSecond` and ends the process at once, in the way that the signal
 * ends one that does not listen. `closed` stops like a first signal; it comes with others, and never counts as a
 * second.
 */
export function stopSignal(onSecond: () => void, closed?: Promise<void>): Promise<StopSignal> {
  return new Promise((resolve) => {
    let told = false;
    const hear = (signal: "SIGTERM" | "SIGINT") => {
      if (told) {
        process.removeAllListeners(signal);
        onSecond();
        process.kill(process.pid, signal);
      }
      told = true;
      resolve(signal);
    };
    process.on("SIGTERM", () => hear("SIGTERM"));
    process.on("SIGINT", () => hear("SIGINT"));
    void closed?.then(() => resolve("SIGHUP"));
  });
}
