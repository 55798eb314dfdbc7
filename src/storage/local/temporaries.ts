import { access, constants, lstat, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../../jobs/failure.ts";
import type { Folders } from "./folders.ts";
import { errnoOf, ignoringAbsence } from "./local-failure.ts";
import { type OpenFile, openFile } from "./open-file.ts";
import { UPLOADS } from "./uploads-folder.ts";

const UPLOAD_ID = /^[0-9a-f-]{36}$/;

/** The files in which one owner's uploads grow: `{root}/.uploads/{owner}/{uploadId}`. */
export class Temporaries {
  readonly #root: string;
  readonly #folder: string;
  readonly #folders: Folders;
  #made: Promise<void> | undefined;

  constructor(root: string, owner: string, folders: Folders) {
    this.#root = root;
    this.#folder = join(root, UPLOADS, owner);
    this.#folders = folders;
  }

  pathOf(uploadId: string): string {
    return join(this.#folder, uploadId);
  }

  async create(uploadId: string): Promise<OpenFile> {
    await this.#ensureFolder();
    try {
      return await openFile(this.pathOf(uploadId), "wx");
    } catch (error) {
      throw errnoOf(error) === "ENOENT" ? this.#goneFailure(error) : error;
    }
  }

  /** Removes a temporary that a crash left. Idempotent. */
  async remove(uploadId: string): Promise<void> {
    if (UPLOAD_ID.test(uploadId)) await ignoringAbsence(() => unlink(this.pathOf(uploadId)));
  }

  /** The upload ids of all temporaries. */
  async ids(): Promise<string[]> {
    const found = (await ignoringAbsence(() => readdir(this.#folder))) ?? [];
    return found.filter((name) => UPLOAD_ID.test(name));
  }

  /** @throws the system's error, or a `Failure` where the folder is missing */
  async assertWritable(): Promise<void> {
    await this.#ensureFolder();
    if ((await ignoringAbsence(() => lstat(this.#folder))) === undefined) throw this.#goneFailure(undefined);
    await access(this.#folder, constants.W_OK | constants.X_OK);
  }

  /** Removes the folders where they are empty. */
  close(): Promise<void> {
    return this.#folders.prune(this.#folder, this.#root);
  }

  /**
   * Makes the folder once. If it is missing later, the storage was removed or is not mounted any more: a new folder in
   * its place would be filled unnoticed.
   */
  #ensureFolder(): Promise<void> {
    if (this.#made === undefined) {
      this.#made = this.#folders.ensure(this.#folder);
      this.#made.catch(() => {
        this.#made = undefined;
      });
    }
    return this.#made;
  }

  #goneFailure(cause: unknown): Failure {
    const way = "put it back, or restart to begin with a new one";
    const message = `the storage's folder ${this.#root} is missing: ${way}`;
    return new Failure("UPLOAD_UNAVAILABLE", message, { cause });
  }
}
