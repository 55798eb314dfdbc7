import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, rmdir, stat, statfs, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { CHECK_FOLDER } from "../../jobs/object-key.ts";
import { errorText } from "../../std/error-text.ts";
import { type CheckStep, runSteps, type Step, StepFailure, type StepFinding } from "../check-step.ts";
import { errnoOf } from "./local-failure.ts";
import { type OpenFile, openFile } from "./open-file.ts";
import { UPLOADS, uploadsProblem } from "./uploads-folder.ts";

const BODY = Buffer.from("fetchbox ok");
/** With less free space the next large bodies would not fit. */
const FREE_BYTES_MIN = 100_000_000;
/** With less free space it is time to make room. */
const LOW_BYTES = 1_000_000_000;

const HINTS: Readonly<Record<string, string>> = {
  EACCES: "give the service's user the right to write there",
  EPERM: "give the service's user the right to write there",
  EROFS: "the file system is mounted read-only",
  ENOSPC: "make room",
  EDQUOT: "make room within the quota",
  ENOTDIR: "a file is in the way of the folder",
  EEXIST: "a file is in the way of the folder",
  EXDEV: "put the bucket's folder on the file system of storage.path: only then a rename is atomic",
};

interface FolderCheckOptions {
  /** The folder of the buckets. */
  readonly path: string;
  readonly bucket: string;
  readonly signal: AbortSignal;
}

/** Tries every operation that local storage needs of its folder, and removes its files and folders at the end. */
export async function* checkFolder({ path, bucket, signal }: FolderCheckOptions): AsyncGenerator<CheckStep> {
  const root = resolve(path);
  const trial = new Trial(root, bucket);
  const steps: readonly Step[] = [
    { name: "folder", run: () => trial.folder() },
    { name: `write ${BODY.byteLength} bytes`, needs: ["folder"], run: () => trial.write() },
    { name: "fsync", needs: [`write ${BODY.byteLength} bytes`], run: () => trial.sync() },
    { name: "rename", needs: ["fsync"], run: () => trial.rename() },
    { name: "fsync of the folder", needs: ["rename"], run: () => trial.syncFolder() },
    { name: "read and compare", needs: ["rename"], run: () => trial.read() },
    { name: "remove", needs: ["rename"], run: () => trial.remove() },
    { name: "free space", needs: ["folder"], run: () => freeSpace(root) },
  ];
  let left: string | undefined;
  try {
    yield* runSteps(
      steps.map((step) => ({ ...step, run: () => explained(step.run) })),
      signal,
    );
  } finally {
    left = await trial.cleanUp();
  }
  yield left === undefined
    ? { name: "clean up", result: "ok", detail: "everything is removed" }
    : { name: "clean up", result: "failed", detail: `could not be removed: ${left}` };
}

/** One object on its way through the folders. */
class Trial {
  readonly #root: string;
  readonly #temporary: string;
  readonly #folder: string;
  /** The first of the folders that were made for one, by that one. */
  readonly #made = new Map<string, string>();
  #file: OpenFile | undefined;

  constructor(root: string, bucket: string) {
    const id = randomUUID();
    this.#root = root;
    this.#temporary = join(root, UPLOADS, `check-${id}`);
    this.#folder = join(root, bucket, CHECK_FOLDER, id);
  }

  async folder(): Promise<StepFinding> {
    await this.#make(this.#root);
    if (!(await stat(this.#root)).isDirectory()) throw new StepFailure(`${this.#root} is no folder`);
    const problem = uploadsProblem(this.#root);
    if (problem !== undefined) throw new StepFailure(problem);
    await this.#make(this.#temporary);
    return this.#made.has(this.#root) ? `${this.#root} can be made` : `${this.#root} is there`;
  }

  async write(): Promise<StepFinding> {
    this.#file = await openFile(join(this.#temporary, "object"), "wx");
    await this.#file.write(BODY);
    return "written";
  }

  async sync(): Promise<StepFinding> {
    await this.#file?.sync();
    return "on the disk";
  }

  async rename(): Promise<StepFinding> {
    await this.#close();
    await this.#make(this.#folder);
    await rename(join(this.#temporary, "object"), join(this.#folder, "object"));
    return "moved into the bucket's folder";
  }

  async syncFolder(): Promise<StepFinding> {
    const folder = await openFile(this.#folder, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return "on the disk";
  }

  async read(): Promise<StepFinding> {
    if (!(await readFile(join(this.#folder, "object"))).equals(BODY))
      throw new StepFailure("the bytes are not the same");
    return `the same ${BODY.byteLength} bytes`;
  }

  async remove(): Promise<StepFinding> {
    await unlink(join(this.#folder, "object"));
    return "removed";
  }

  /** Returns the reason why a file or folder could not be removed, or `undefined`. */
  async cleanUp(): Promise<string | undefined> {
    try {
      await this.#close();
      for (const folder of [this.#temporary, this.#folder]) await removeFolder(folder);
      for (const [folder, first] of [...this.#made].toReversed()) await pruneFolders(folder, first);
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }

  async #make(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first !== undefined) this.#made.set(folder, first);
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

/** Not where a file stands in its way: then it was never made. */
async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== "ENOTDIR") throw error;
  }
}

/** Removes folders from the innermost to the first that was made, as far as they are empty. */
async function pruneFolders(folder: string, first: string): Promise<void> {
  for (let above = folder; above.startsWith(first); above = dirname(above)) {
    try {
      await rmdir(above);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOTEMPTY" || errno === "EEXIST") return;
      if (errno !== "ENOENT") throw error;
    }
  }
}

async function freeSpace(root: string): Promise<StepFinding> {
  const { bavail, bsize, files, ffree } = await statfs(root);
  const bytes = bavail * bsize;
  const text = bytes < LOW_BYTES ? `${(bytes / 1e6).toFixed(0)} MB free` : `${(bytes / 1e9).toFixed(1)} GB free`;
  // Some file systems count no files.
  if (files > 0 && ffree === 0) throw new StepFailure(`${text}, but no more files can be made: no inode is free`);
  if (bytes < FREE_BYTES_MIN) throw new StepFailure(`${text}: make room`);
  return bytes < LOW_BYTES ? { note: `only ${text}: make room soon` } : text;
}

async function explained(run: () => Promise<StepFinding>): Promise<StepFinding> {
  try {
    return await run();
  } catch (error) {
    const hint = HINTS[errnoOf(error) ?? ""];
    if (hint === undefined || !(error instanceof Error)) throw error;
    throw new StepFailure(`${error.message}: ${hint}`, { cause: error });
  }
}
