import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { output } from "./run-command.ts";

/** The parts of an image's configuration that the test looks at, in Docker's spelling. */
export interface ImageConfig {
  readonly User: string;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly Volumes: Readonly<Record<string, unknown>>;
  readonly ExposedPorts: Readonly<Record<string, unknown>>;
  readonly StopSignal: string;
  readonly Healthcheck: { readonly Test: readonly string[] };
  readonly Labels: Readonly<Record<string, string>>;
}

/** Builds images with buildah, without a daemon and without touching the image store of the machine. */
export class Buildah {
  readonly #own: readonly string[];

  constructor(folder: string) {
    for (const name of ["storage", "run"]) mkdirSync(join(folder, name), { recursive: true });
    this.#own = ["--root", join(folder, "storage"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  }

  run(command: string, ...args: readonly string[]): string {
    return output(["buildah", ...this.#own, command, ...args]);
  }

  /** Makes an image of a folder, with variables. */
  imageOf(folder: string, name: string, env: Readonly<Record<string, string>>): void {
    const container = this.run("from", "scratch");
    this.run("add", container, folder, "/");
    for (const [variable, value] of Object.entries(env)) this.run("config", "--env", `${variable}=${value}`, container);
    this.run("commit", "--rm", container, name);
  }

  /** The configuration of an image, and a folder with its files. */
  open(image: string): { readonly config: ImageConfig; readonly root: string } {
    const container = this.run("from", "--pull-never", image);
    const { Docker: docker } = JSON.parse(this.run("inspect", container)) as { Docker: { config: ImageConfig } };
    return { config: docker.config, root: this.run("mount", container) };
  }

  /** Unmounts and removes all images and containers. */
  clear(): void {
    this.run("umount", "--all");
    this.run("rm", "--all");
    this.run("rmi", "--all", "--force");
  }
}
