import { eventually } from "../support/eventually.ts";

export interface Outcome {
  /** Standard output and standard error, as a terminal shows them. */
  readonly output: string;
  /** The exit code of the last command that failed; 0 if all succeeded. */
  readonly code: number;
}

const STEP_MS = 60_000;
const END_MS = 10_000;

/** A Bash that runs commands one after the other, as a person types them. Its end stops all that it started. */
export class Shell implements AsyncDisposable {
  readonly #process;
  #output = "";
  #steps = 0;

  constructor(cwd: string, env: Readonly<Record<string, string>>) {
    // A session of its own, so that its group is what it started.
    this.#process = Bun.spawn(["bash", "--norc"], {
      cwd,
      env,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      detached: true,
    });
    void this.#collect();
    this.#write("shopt -s expand_aliases; trap 'failed=$?' ERR; exec 2>&1");
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) this.#output += decoder.decode(chunk, { stream: true });
  }

  #write(line: string): void {
    void this.#process.stdin.write(`${line}\n`);
    void this.#process.stdin.flush();
  }

  /** Runs a block of commands. @throws if they do not end */
  async run(commands: string): Promise<Outcome> {
    const mark = `--- end of step ${this.#steps++}:`;
    const start = this.#output.length;
    this.#write(`failed=0\n${commands.trimEnd()}\nprintf '\\n%s%s\\n' '${mark}' $failed`);
    const ended = () => {
      const text = this.#output.slice(start);
      const at = text.lastIndexOf(mark);
      const code = at < 0 ? undefined : /^(\d+)\n/.exec(text.slice(at + mark.length))?.[1];
      return code === undefined ? undefined : { output: text.slice(0, at).trim(), code: Number(code) };
    };
    return eventually(`the end of:\n${commands}`, ended, STEP_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#write("kill $(jobs -p); wait; exit");
    const ended = () => this.#process.exitCode ?? undefined;
    await eventually("the end of the shell", ended, END_MS).catch(() => process.kill(-this.#process.pid, "SIGKILL"));
    await this.#process.exited;
  }
}
