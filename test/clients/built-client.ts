import { cp, symlink } from "node:fs/promises";
import { join } from "node:path";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const ROOT = join(import.meta.dir, "../..");
export const SOURCE = join(ROOT, "clients/typescript");

let building: Promise<string> | undefined;

/** The folder of the TypeScript client as users get it, built once for a file of tests. */
export function builtClient(): Promise<string> {
  building ??= build();
  return building;
}

async function build(): Promise<string> {
  const folder = makeTemporaryFolder("client");
  for (const name of ["package.json", "README.md", "LICENSE"]) await cp(join(SOURCE, name), join(folder, name));
  await symlink(join(SOURCE, "node_modules"), join(folder, "node_modules"));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const run = Bun.spawn([tsc, "-p", SOURCE, "--outDir", join(folder, "dist")], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, output] = await Promise.all([run.exited, run.stdout.text()]);
  if (code !== 0) throw new Error(`the TypeScript client cannot be built:\n${output}`);
  return folder;
}
