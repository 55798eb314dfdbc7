import { eventually } from "../../test/support/eventually.ts";
import { firstProcess } from "./first-process.ts";
import { type Outcome, outcome, output } from "./run-command.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const START_MS = 60_000;

type Nspawn = Bun.Subprocess<"ignore", "ignore", "pipe">;

/** A Debian with a running systemd, in namespaces of its own. It shares the network of this machine. */
export class Machine implements AsyncDisposable {
  readonly root: string;
  readonly #nspawn: Nspawn;

  private constructor(root: string, nspawn: Nspawn) {
    this.root = root;
    this.#nspawn = nspawn;
  }

  /** Boots the machine whose files are in a folder. */
  static async boot(root: string): Promise<Machine> {
    // Without systemd on this machine, no service can make a unit for the other one.
    const isBare = outcome(["test", "-d", "/run/systemd/system"]).code !== 0;
    const flags = ["--register=no", ...(isBare ? ["--keep-unit"] : []), "--quiet", "--console=read-only"];
    const nspawn = Bun.spawn(["systemd-nspawn", "--boot", ...flags, `--directory=${root}`], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const machine = new Machine(root, nspawn);
    try {
      await eventually(
        "systemd has started",
        () => (machine.try("systemctl", "is-active", "multi-user.target").code === 0 ? true : undefined),
        START_MS,
      );
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      console.error(await nspawn.stderr.text());
      throw error;
    }
    return machine;
  }

  /** Runs a command as root in the machine, however it ends. */
  try(...command: readonly string[]): Outcome {
    return outcome(this.#within(command));
  }

  /** Runs a command as root in the machine, which must succeed; returns its output. */
  run(...command: readonly string[]): string {
    return output(this.#within(command));
  }

  /** A property of a unit. */
  show(unit: string, property: string): string {
    return this.run("systemctl", "show", "--value", "--property", property, unit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.try("systemctl", "poweroff").code !== 0) {
      const first = firstProcess(this.#nspawn.pid);
      if (first !== undefined) process.kill(first, "SIGKILL");
      this.#nspawn.kill();
    }
    await this.#nspawn.exited;
  }

  #within(command: readonly string[]): string[] {
    const enter = [
      "nsenter",
      `--target=${firstProcess(this.#nspawn.pid) ?? 0}`,
      "--mount",
      "--uts",
      "--ipc",
      "--pid",
      "--",
    ];
    return [...enter, "env", "--ignore-environment", `PATH=${PATH}`, "HOME=/root", ...command];
  }
}
