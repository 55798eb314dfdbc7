import { join } from "node:path";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** A shared library out of a C source beside this file, or why there is none. */
export function compilePreload(source: string): { readonly library: string } | { readonly reason: string } {
  const compiler = ["cc", "gcc", "clang"].find((name) => Bun.which(name) !== null);
  if (compiler === undefined) return { reason: "there is no C compiler" };
  const library = join(makeTemporaryFolder("preload"), "preload.so");
  const path = join(import.meta.dir, source);
  const { exitCode, stderr } = Bun.spawnSync([compiler, "-shared", "-fPIC", "-O1", "-o", library, path, "-ldl"]);
  return exitCode === 0 ? { library } : { reason: `the library cannot be compiled: ${stderr.toString().trim()}` };
}
