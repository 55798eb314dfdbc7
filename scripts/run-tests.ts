/** A run of tests that has ended. */
export interface TestRun {
  readonly output: string;
  readonly code: number;
}

/** Its output is kept until it has ended: that of two runs would be mixed. */
export async function runTests(
  paths: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<TestRun> {
  const run = Bun.spawn([process.execPath, "test", "--timeout", "60000", ...paths.map((path) => `./${path}`)], {
    env: { ...process.env, ...env },
    stdout: "inherit",
    stderr: "pipe",
  });
  const output = await new Response(run.stderr).text();
  return { output, code: await run.exited };
}

/**
 * Prints what they said, every failure once more at the end, where it is found even if the start of a long log is cut
 * off, and `N passed, N failed, N skipped`. Returns the exit code for all of them.
 */
export function report(runs: readonly TestRun[]): number {
  for (const { output } of runs) process.stderr.write(output);
  for (const run of runs) for (const failure of failuresOf(run)) console.log(failure);
  const count = (what: string) => runs.reduce((sum, { output }) => sum + countIn(output, what), 0);
  console.log(`${count("pass")} passed, ${count("fail")} failed, ${count("skip")} skipped`);
  return runs.find(({ code }) => code !== 0)?.code ?? 0;
}

/** Longest text of one failure in the summary. */
const FAILURE_LENGTH = 4000;

/** What made a run fail: its failed tests, or else its last lines, since it ended some other way. */
function failuresOf({ output, code }: TestRun): string[] {
  const failures = failuresIn(output);
  return code === 0 || failures.length > 0 ? failures : [output.slice(-FAILURE_LENGTH)];
}

/** Each failed test with its file and the messages that stand above its line. */
function failuresIn(output: string): string[] {
  const failures: string[] = [];
  let file = "";
  let above: string[] = [];
  for (const line of output.split("\n")) {
    // Behind it Bun names the failures once more, without their messages.
    if (/^\d+ tests failed:$/.test(line)) break;
    above.push(line);
    if (/^\S+\.test\.ts:$/.test(line)) file = line;
    if (line.startsWith("(fail) ")) failures.push(`${file}\n${above.join("\n").slice(-FAILURE_LENGTH)}\n`);
    if (/^(\((pass|fail|skip|todo)\) |\S+\.test\.ts:$)/.test(line)) above = [];
  }
  return failures;
}

/** Of the summary at the end. */
function countIn(output: string, what: string): number {
  return Number(new RegExp(`^\\s*(\\d+) ${what}$`, "m").exec(output.slice(-4000))?.[1] ?? 0);
}
