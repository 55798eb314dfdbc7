/** The first SIGTERM or SIGINT; a second one ends the process at once, as if nobody had asked nicely. */
export function stopSignal(): Promise<"SIGTERM" | "SIGINT"> {
  return new Promise((resolve) => {
    let told = false;
    const hear = (signal: "SIGTERM" | "SIGINT") => {
      if (told) process.kill(process.pid, "SIGKILL");
      told = true;
      resolve(signal);
    };
    process.on("SIGTERM", () => hear("SIGTERM"));
    process.on("SIGINT", () => hear("SIGINT"));
  });
}
