/** Runs a command to its end, and returns its output without spaces at the ends. @throws with its error output */
export function output(command: readonly string[]): string {
  const { code, text, stdout } = outcome(command);
  if (code === 0) return stdout;
  throw new Error(`${command.slice(0, 6).join(" ")} … ended with ${code}:\n${text.slice(-3000)}`);
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  /** Both outputs. */
  readonly text: string;
}

/** Runs a command to its end, however it ends. */
export function outcome(command: readonly string[]): Outcome {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: "ignore" });
  return {
    code: exitCode,
    stdout: stdout.toString().trim(),
    text: `${stdout.toString()}\n${stderr.toString()}`.trim(),
  };
}

/** Why this machine cannot run a test of the system: `undefined` if it can. */
export function cannotRun(tools: readonly string[]): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  if (process.getuid?.() !== 0) return "it needs root, to mount and to change the root directory";
  const missing = tools.filter((tool) => Bun.which(tool) === null);
  return missing.length === 0 ? undefined : `these programs are missing: ${missing.join(", ")}`;
}

export function passed(text: string): void {
  console.log(`ok    ${text}`);
}
