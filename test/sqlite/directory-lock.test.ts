import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreLockedError } from "../../src/jobs/stores/store-error.ts";
import { isDirectoryLocked, lockDirectory } from "../../src/sqlite/file/directory-lock.ts";

function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "fetchbox-lock-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test("a folder belongs to one at a time", () => {
  using folder = temporaryFolder();
  const release = lockDirectory(folder.path);
  expect(isDirectoryLocked(folder.path)).toBe(true);
  expect(() => lockDirectory(folder.path)).toThrow(StoreLockedError);
  release();
  expect(isDirectoryLocked(folder.path)).toBe(false);
  lockDirectory(folder.path)();
});

test("a check leaves no file", () => {
  using folder = temporaryFolder();
  expect(isDirectoryLocked(folder.path)).toBe(false);
  expect(existsSync(join(folder.path, "fetchbox.lock"))).toBe(false);
});

test("a check locks no process out", async () => {
  using folder = temporaryFolder();
  lockDirectory(folder.path)();
  const module = join(import.meta.dir, "../../src/sqlite/file/directory-lock.ts");
  const ask = `const { isDirectoryLocked } = await import(${JSON.stringify(module)});
    console.log("asks"); for (;;) isDirectoryLocked(${JSON.stringify(folder.path)});`;
  const asking = Bun.spawn([process.execPath, "-e", ask], { stdout: "pipe" });
  try {
    await asking.stdout.getReader().read();
    for (let i = 0; i < 300; i++) lockDirectory(folder.path, 5000)();
  } finally {
    asking.kill();
    await asking.exited;
  }
});
