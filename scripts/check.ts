/**
 * Everything that must hold before a change lands: format, lint, types, generated code fresh, the binary builds, all
 * tests pass. `bun run check` ends with `N passed, N failed, N skipped` and exits 1 if anything is wrong.
 */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";
import { report, runTests } from "./run-tests.ts";
import { testServer } from "./test-s3/test-server.ts";

const STEPS: readonly (readonly [string, readonly string[]])[] = [
  ["format", ["biome", "check", "."]],
  ["lint", ["oxlint", "--type-aware", "src", "test", "scripts", "config", "clients", "load"]],
  ["types", ["tsc", "--noEmit"]],
  ["types of the console", ["tsc", "--noEmit", "-p", "src/console"]],
  ["types of the load tests", ["tsc", "--noEmit", "-p", "load"]],
  ["types of the TypeScript client", ["tsc", "--noEmit", "-p", "clients/typescript"]],
  ["proto", ["buf", "lint"]],
];

/**
 * Tests that start the binary and mostly wait for it: two thirds of the time of all. They run in two parts, beside the
 * others.
 */
const WAITING = ["flow", "crash"];

for (const [name, command] of STEPS) {
  await step(name, () => $`${command}`.quiet().nothrow());
}
await step("generated code", generatedIsFresh);
await step("build", () => $`${process.execPath} scripts/build.ts`.quiet().nothrow());
process.exit(await test());

async function step(
  name: string,
  run: () => Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }>,
): Promise<void> {
  const startedAt = performance.now();
  const { exitCode, stdout, stderr } = await run();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${exitCode === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (exitCode === 0) return;
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exit(1);
}

/** What lies in src/gen is what buf makes of proto/ now. */
async function generatedIsFresh() {
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-gen-"));
  try {
    await $`buf generate --output ${folder}`.quiet();
    return await $`diff -r ${folder}/src/gen src/gen`.quiet().nothrow();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function test(): Promise<number> {
  await using server = await testServer();
  if (server.reason !== undefined) console.log(`S3 tests are skipped: ${server.reason}`);
  const waiting = WAITING.flatMap(testsIn);
  const parts = [0, 1].map((part) => waiting.filter((_, at) => at % 2 === part));
  const others = readdirSync("test").filter((name) => !WAITING.includes(name));
  const groups = [...parts, others.map((name) => `test/${name}`)];
  return report(await Promise.all(groups.map((group) => runTests(group, server.env))));
}

function testsIn(folder: string): string[] {
  const names = readdirSync(`test/${folder}`).filter((name) => name.endsWith(".test.ts"));
  return names.map((name) => `test/${folder}/${name}`);
}
