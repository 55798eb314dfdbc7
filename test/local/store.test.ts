import { expect, test } from "bun:test";
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure } from "../../src/jobs/failure.ts";
import { localFailure } from "../../src/storage/local/local-failure.ts";
import { createLocalStore } from "../../src/storage/local/local-store.ts";
import { makeLocalHarness } from "../support/local-objects.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

const never = new AbortController().signal;
const META = { contentType: "x/y", signal: never };

test("an object is the file path/bucket/key, which anyone may read by the umask, and nothing lies beside it", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  await store.put({ bucket: "b", key: "x/y z/ü.bin" }, pattern(100), META);
  const file = join(path, "b", "x", "y z", "ü.bin");
  expect(digest(await readFile(file))).toBe(digest(pattern(100)));
  expect((await stat(file)).mode & 0o777).toBe(0o666 & ~process.umask());
  expect((await stat(join(path, "b", "x"))).mode & 0o777).toBe(0o777 & ~process.umask());
  const files = await readdir(join(path, "b"), { recursive: true });
  expect(files.toSorted()).toEqual(["x", "x/y z", "x/y z/ü.bin"]);
});

test("an object is named by a file URL that leads to it", async () => {
  await using harness = await makeLocalHarness();
  const ref = { bucket: "b", key: "100% #1?/ü z.bin" };
  await harness.store.put(ref, pattern(9), META);
  const url = harness.store.urlOf(ref);
  expect(url).toStartWith("file:///");
  expect(harness.store.refOf(url)).toEqual(ref);
  expect(harness.store.refOf("file:///elsewhere/b/x")).toBeUndefined();
  expect(digest(await Bun.file(new URL(url)).bytes())).toBe(digest(pattern(9)));
});

test("a key that needs a file where a folder is, or a folder where a file is, is a problem of that key", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  await store.put({ bucket: "b", key: "a/b" }, pattern(1), META);
  const long = `a/b/${"c".repeat(200)}`;
  for (const [key, obstacle] of [
    ["a", "the folder a/"],
    ["a/b/c", "the object a/b"],
    ["a/b/c/d", "the object a/b"],
    [long, "the object a/b"],
  ] as const) {
    const failure = await failureOf(store.put({ bucket: "b", key }, pattern(1), META));
    expect([failure.code, failure.class]).toEqual(["STORAGE_KEY_CONFLICT", "permanent"]);
    const shown = key === long ? `${long.slice(0, 99)}…` : key;
    expect(failure.message).toContain(`the key ${shown} cannot be stored: ${obstacle} is in its way;`);
  }
  expect((await readdir(join(path, "b"), { recursive: true })).toSorted()).toEqual(["a", "a/b"]);
  expect(await harness.leftovers()).toEqual([]);
});

test("a file in the place of the folder of temporaries is the storage's problem", async () => {
  await using harness = await makeLocalHarness();
  await writeFile(join(harness.path, ".uploads"), "");
  const failure = await failureOf(harness.store.put({ bucket: "b", key: "a" }, pattern(1), META));
  expect([failure.code, failure.message]).toEqual(["UPLOAD_UNAVAILABLE", expect.stringContaining("EEXIST")]);
});

test("a segment of more than 255 bytes is refused, in words and by every write", async () => {
  await using harness = await makeLocalHarness();
  const key = `a/${"é".repeat(128)}`;
  expect(harness.store.refuses(key)).toContain("255");
  expect(harness.store.refuses(`a/${"é".repeat(127)}x/b`)).toBeUndefined();
  expect((await failureOf(harness.store.put({ bucket: "b", key }, pattern(1), META))).code).toBe("HANDLER_ERROR");
});

test("a bucket cannot lead out of the path or to the temporaries", async () => {
  await using harness = await makeLocalHarness();
  for (const bucket of ["..", ".", ".uploads", "a/b", "", "/etc", "a\u0000"]) {
    for (const attempt of [
      () => harness.store.put({ bucket, key: "x" }, pattern(1), META),
      () => harness.store.check(bucket, never),
      () => harness.store.head({ bucket, key: "x" }, never),
      () => Array.fromAsync(harness.store.list(bucket, "", never)),
    ]) {
      expect((await failureOf(attempt())).code).toBe("UPLOAD_NO_SUCH_BUCKET");
    }
  }
});

test("a link inside a bucket is not followed, neither for writing nor for reading", async () => {
  await using harness = await makeLocalHarness();
  await using outside = await makeLocalHarness();
  const { store, path } = harness;
  await writeFile(join(outside.path, "secret"), "secret");
  await mkdir(join(path, "b"));
  await symlink(outside.path, join(path, "b", "folder"));
  await symlink(join(outside.path, "secret"), join(path, "b", "file"));
  const behind = { bucket: "b", key: "folder/secret" };
  expect(await store.head(behind, never)).toBeUndefined();
  expect(await store.read(behind, never)).toBeUndefined();
  expect(await store.read({ bucket: "b", key: "file" }, never)).toBeUndefined();
  await store.remove(behind, never);
  const failure = await failureOf(store.put({ bucket: "b", key: "folder/new" }, pattern(1), META));
  expect([failure.code, failure.message]).toEqual([
    "STORAGE_KEY_CONFLICT",
    expect.stringContaining("the link folder is in its way"),
  ]);
  expect(await Array.fromAsync(store.list("b", "", never))).toEqual([]);
  await store.put({ bucket: "b", key: "file" }, pattern(5), META);
  expect(await readdir(outside.path)).toEqual(["secret"]);
  expect(await readFile(join(outside.path, "secret"), "utf8")).toBe("secret");
});

test("folders that a removal empties go, up to the bucket's, and can be made again", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  const [one, two] = [
    { bucket: "b", key: "x/y/one" },
    { bucket: "b", key: "x/two" },
  ];
  await store.put(one, pattern(1), META);
  await store.put(two, pattern(1), META);
  await store.remove(one, never);
  expect((await readdir(join(path, "b"), { recursive: true })).toSorted()).toEqual(["x", "x/two"]);
  await store.remove(two, never);
  expect(await readdir(join(path, "b"))).toEqual([]);
  await store.put(one, pattern(2), META);
  expect((await store.head(one, never))?.bytes).toBe(2);
});

test("folders that somebody else removed are made again", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  await store.put({ bucket: "b", key: "x/y/one" }, pattern(1), META);
  await rm(join(path, "b"), { recursive: true });
  await store.put({ bucket: "b", key: "x/y/two" }, pattern(2), META);
  expect(await readdir(join(path, "b", "x", "y"))).toEqual(["two"]);
});

test("a storage whose folder is gone is not begun anew, and goes on when it is back", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  const ref = { bucket: "b", key: "x/one" };
  const open = await store.open({ bucket: "b", key: "x/two" }, { ...META, size: 2, onOpen: () => Promise.resolve() });
  await open.write(pattern(2));
  await rename(path, `${path}-away`);
  for (const attempt of [() => store.put(ref, pattern(1), META), () => store.check("b", never), () => open.commit()]) {
    expect((await failureOf(attempt())).code).toBe("UPLOAD_UNAVAILABLE");
  }
  expect(await readdir(join(path, "..")).then((names) => names.includes(basename(path)))).toBe(false);
  await rename(`${path}-away`, path);
  await store.check("b", never);
  await store.put(ref, pattern(1), META);
});

test.each(["the storage", "the bucket"])("a file in place of %s's folder is no key's problem", async (what) => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  const ref = { bucket: "b", key: "x/one" };
  await store.put(ref, pattern(1), META);
  const folder = what === "the storage" ? path : join(path, "b");
  await rename(folder, `${folder}-away`);
  await writeFile(folder, "");
  const failure = await failureOf(store.put({ bucket: "b", key: "y/two" }, pattern(1), META));
  expect([failure.code, failure.class]).toEqual(["UPLOAD_UNAVAILABLE", "unavailable"]);
  expect((await failureOf(store.check("b", never))).code).toBe("UPLOAD_UNAVAILABLE");
  await rm(folder);
  await rename(`${folder}-away`, folder);
  await store.put({ bucket: "b", key: "y/two" }, pattern(1), META);
});

test("a reader keeps the object that it began to read, whole", async () => {
  await using harness = await makeLocalHarness();
  const ref = { bucket: "b", key: "x" };
  await harness.store.put(ref, pattern(1_000_000, 1), META);
  const stream = await harness.store.read(ref, never);
  await harness.store.put(ref, pattern(1_000_000, 2), META);
  expect(digest(await new Response(stream).bytes())).toBe(digest(pattern(1_000_000, 1)));
});

test("what a killed process was writing is invisible, and the sweep of the next one removes it", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  await store.put({ bucket: "b", key: "x" }, pattern(70), META);
  const script = `
    import { localFailure } from "../../src/storage/local/local-failure.ts";
import { createLocalStore } from "${import.meta.dir}/../../src/storage/local/local-store.ts";
    const store = createLocalStore({ path: ${JSON.stringify(path)}, owner: "suite" });
    const signal = new AbortController().signal;
    const upload = await store.open({ bucket: "b", key: "x" }, { contentType: "x/y", signal, onOpen: async () => {} });
    await upload.write(new Uint8Array(1 << 20));
    console.log("written");
    setInterval(() => {}, 1000);
  `;
  await using child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("written\n");
  child.kill("SIGKILL");
  await child.exited;
  expect(digest(await readFile(join(path, "b", "x")))).toBe(digest(pattern(70)));
  expect(await harness.leftovers()).toHaveLength(1);
  expect(await createLocalStore({ path, owner: "suite" }).sweep()).toBe(1);
  expect(await harness.leftovers()).toEqual([]);
  expect(await readdir(join(path, "b"))).toEqual(["x"]);
});

test("a sweep where nothing was ever stored finds nothing", async () => {
  await using harness = await makeLocalHarness();
  await rm(harness.path, { recursive: true });
  expect(await harness.store.sweep()).toBe(0);
});

test("an upload id cannot make abortUpload remove anything but a temporary", async () => {
  await using harness = await makeLocalHarness();
  const { store, path } = harness;
  await store.put({ bucket: "b", key: "x" }, pattern(1), META);
  for (const uploadId of ["../b/x", "..", "", "x"]) await store.abortUpload({ bucket: "b", key: "x", uploadId }, never);
  expect(await readdir(join(path, "b"))).toEqual(["x"]);
});

/**
 * The code of the failure of a put and a check into a file system mounted just for that; `undefined` without leave to
 * mount.
 */
async function codesOn(mount: string): Promise<string[] | undefined> {
  await using harness = await makeLocalHarness();
  const script = `
    import { localFailure } from "../../src/storage/local/local-failure.ts";
import { createLocalStore } from "${import.meta.dir}/../../src/storage/local/local-store.ts";
    const store = createLocalStore({ path: ${JSON.stringify(harness.path)}, owner: "suite" });
    const signal = new AbortController().signal;
    const code = (attempt) => attempt.then(() => "none", (error) => error.code);
    const body = new Uint8Array(1 << 20);
    console.log(await code(store.put({ bucket: "b", key: "x" }, body, { contentType: "x/y", signal })));
    console.log(await code(store.check("b", signal)));
    console.log(await code(store.put({ bucket: "b", key: "y" }, body.subarray(0, 10), { contentType: "x/y", signal })));
  `;
  const mounted = `mount -t tmpfs ${mount} none "$0" || exit 77; exec "$1" -e "$2"`;
  const command = [
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    mounted,
    harness.path,
    process.execPath,
    script,
  ];
  await using child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [status, output] = await Promise.all([child.exited, child.stdout.text()]);
  return status === 0 ? output.trim().split("\n") : undefined;
}

test("a full disk is UPLOAD_DISK_FULL, and the temporary does not keep it full", async () => {
  const codes = await codesOn("-o size=256k");
  if (codes === undefined) return console.warn("left out: no file system can be mounted here");
  expect(codes).toEqual(["UPLOAD_DISK_FULL", "none", "none"]);
});

test("a disk that is mounted for reading only is UPLOAD_ACCESS_DENIED", async () => {
  const codes = await codesOn("-o ro");
  if (codes === undefined) return console.warn("left out: no file system can be mounted here");
  expect(codes).toEqual(["UPLOAD_ACCESS_DENIED", "UPLOAD_ACCESS_DENIED", "UPLOAD_ACCESS_DENIED"]);
});

test("a message has the code of the system once, and names a listing as well as a key", () => {
  const error = Object.assign(new Error("EACCES: permission denied, lstat '/x'"), { code: "EACCES" });
  const messageFor = (key: string) => (localFailure(error, { bucket: "b", key }, "/nowhere") as Failure).message;
  expect(messageFor("k")).toBe("bucket b: cannot store or read k: EACCES: permission denied, lstat '/x'");
  expect(messageFor("")).toBe("bucket b: cannot store or read its objects: EACCES: permission denied, lstat '/x'");
});

test("each system error has its failure code; a Failure and the signal's reason pass through", () => {
  const ref = { bucket: "b", key: "k" };
  const codes = ["ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "ENOTDIR", "EIO", "EMFILE"].map(
    (errno) => {
      const failure = localFailure(Object.assign(new Error(`${errno}: system text`), { code: errno }), ref, "/nowhere");
      return failure instanceof Failure && failure.message.includes(errno) ? failure.code : "wrong";
    },
  );
  expect(codes.join(" ")).toBe(
    "UPLOAD_DISK_FULL UPLOAD_DISK_FULL UPLOAD_ACCESS_DENIED UPLOAD_ACCESS_DENIED UPLOAD_ACCESS_DENIED " +
      // What is in the way of no key is nobody's alone.
      "HANDLER_ERROR UPLOAD_UNAVAILABLE UPLOAD_UNAVAILABLE UPLOAD_UNAVAILABLE",
  );
  const failure = new Failure("UPLOAD_TIMEOUT", "x");
  expect(localFailure(failure, ref, "/nowhere")).toBe(failure);
  expect(localFailure("reason", ref, "/nowhere", AbortSignal.abort("reason"))).toBe("reason");
});
