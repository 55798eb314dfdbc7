/**
 * The first SIGTERM or SIGINT. A second one calls `onSecond` and ends the process at once, in the way that the signal
 * ends one that does not listen.
 */
export function stopSignal(onSecond: () => void): Promise<"SIGTERM" | "SIGINT"> {
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
  });
}
