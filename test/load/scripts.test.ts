import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { BINARY, ensureBinary } from "../support/binary.ts";

setDefaultTimeout(120_000);

beforeAll(ensureBinary);

async function run(script: string, ...args: string[]) {
  const child = Bun.spawn([process.execPath, script, ...args], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code: child.exitCode, stdout, stderr };
}

test("the load tests pass at a small scale", async () => {
  const scenarios = ["smoke", "same-key", "followers", "replay", "cancel-pause"];
  const { code, stdout, stderr } = await run(
    "scripts/load/main.ts",
    "--scale=0.03",
    `--binary=${BINARY}`,
    ...scenarios,
  );
  expect([code, stdout.split("\n").filter((line) => /✗|passed/.test(line)), stderr]).toEqual([
    0,
    [`${scenarios.length} passed, 0 failed`],
    "",
  ]);
});

test("a check that fails and an error in a script fail the run with 99", async () => {
  const folder = await mkdtemp(resolve("load/.test-"));
  try {
    const script = join(folder, "failing.ts");
    const text = `import { holds, THRESHOLDS } from "../service.ts";
export const options = { scenarios: { s: { executor: "shared-iterations", iterations: 2 } }, thresholds: THRESHOLDS };
let calls = 0;
export default async function () { holds("is odd", ++calls === 1); if (calls === 2) throw new Error("broken"); }
`;
    await writeFile(script, text);
    const { code, stdout } = await run("scripts/load/k6.ts", script);
    expect([code, stdout]).toEqual([99, expect.stringMatching(/✗ is odd: 1 of 2\n.*✗ no error: broken: 1 of 1/)]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the load goes only to this machine", async () => {
  const { code, stderr } = await run("scripts/load/k6.ts", "-e", "FETCHBOX_URL=http://example.com", "load/smoke.ts");
  expect([code, stderr]).toEqual([1, expect.stringContaining("the load goes only to addresses of this machine")]);
});
