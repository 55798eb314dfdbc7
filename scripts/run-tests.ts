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

/** Prints what they said, and `N passed, N failed, N skipped`; returns the exit code for all of them. */
export function report(runs: readonly TestRun[]): number {
  for (const { output } of runs) process.stderr.write(output);
  const count = (what: string) => runs.reduce((sum, { output }) => sum + countIn(output, what), 0);
  console.log(`${count("pass")} passed, ${count("fail")} failed, ${count("skip")} skipped`);
  return runs.find(({ code }) => code !== 0)?.code ?? 0;
}

/** Of the summary at the end. */
function countIn(output: string, what: string): number {
  return Number(new RegExp(`^\\s*(\\d+) ${what}$`, "m").exec(output.slice(-4000))?.[1] ?? 0);
}
