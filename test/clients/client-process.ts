import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { builtClient } from "./built-client.ts";

const ROOT = join(import.meta.dir, "../..");
const CLIENTS = join(ROOT, "clients");

/** A language with the program that runs its client. */
export interface Runtime {
  readonly name: string;
  /** The command of the driver without its options, or the reason for its absence. */
  readonly command: () => Promise<readonly string[]>;
  readonly absent: string | undefined;
}

const NODE = Bun.which("node");
const DENO = Bun.which("deno");
/** Debian's own, which is the oldest that many users have; another one otherwise. */
export const PYTHON = Bun.which("python3", { PATH: "/usr/bin" }) ?? Bun.which("python3");

export const RUNTIMES: readonly Runtime[] = [
  {
    name: "TypeScript on Bun",
    command: async () => [process.execPath, driver("mjs"), join(CLIENTS, "typescript/src/fetchbox.ts")],
    absent: undefined,
  },
  {
    name: "TypeScript on Node",
    command: async () => [NODE ?? "", driver("mjs"), join(await builtClient(), "dist/fetchbox.js")],
    absent: NODE === null ? "there is no node" : undefined,
  },
  {
    name: "TypeScript on Deno",
    command: async () => [
      DENO ?? "",
      "run",
      "--allow-all",
      driver("mjs"),
      join(await builtClient(), "dist/fetchbox.js"),
    ],
    absent: DENO === null ? "there is no deno" : undefined,
  },
  {
    name: "Python",
    command: async () => [PYTHON ?? "", driver("py"), join(CLIENTS, "python/fetchbox.py")],
    absent: PYTHON === null ? "there is no python3" : undefined,
  },
];

export interface DriverOptions {
  readonly server: string;
  readonly token?: string;
  readonly retries?: number;
  readonly busyTimeoutMs?: number;
  /** Of the TypeScript client. */
  readonly silenceTimeoutMs?: number;
  readonly timeoutMs?: number;
}

/** An error of a client, in any language. */
export interface ClientError {
  /** True for a FetchBoxError. */
  readonly isOurs: boolean;
  readonly code: string;
  readonly message: string;
  readonly status: number;
  readonly requestId: string | null;
  readonly details: readonly { readonly path: string; readonly message: string }[];
  readonly retryAfterMs?: number | null;
  /** All that a log could print for the error. */
  readonly text: string;
}

type Reply = { readonly value: unknown } | { readonly error: ClientError };

/** A client in a process of its own. Calls run one after another. */
export class ClientProcess implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  static async start(runtime: Runtime, options: DriverOptions): Promise<ClientProcess> {
    const all = { retries: 3, retryDelayMs: 5, busyTimeoutMs: 60_000, timeoutMs: 20_000, ...options };
    return new ClientProcess([...(await runtime.command()), JSON.stringify(all)]);
  }

  private constructor(command: readonly string[]) {
    const env = { PATH: process.env["PATH"] ?? "", PYTHONDONTWRITEBYTECODE: "1", PYTHONIOENCODING: "utf-8" };
    this.#child = Bun.spawn([...command], { env, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    const output = Readable.fromWeb(this.#child.stdout as Parameters<typeof Readable.fromWeb>[0]);
    this.#lines = createInterface({ input: output })[Symbol.asyncIterator]();
    this.#errors = this.#child.stderr.text();
  }

  /** The result of a call that must succeed. */
  async call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    const reply = await this.#ask(name, args);
    if ("error" in reply) throw new Error(`${name} failed: ${reply.error.code} ${reply.error.text}`);
    return reply.value as T;
  }

  /** The error of a call that must fail. */
  async failure(name: string, ...args: readonly unknown[]): Promise<ClientError> {
    const reply = await this.#ask(name, args);
    if (!("error" in reply)) throw new Error(`${name} did not fail: ${JSON.stringify(reply.value)}`);
    return reply.error;
  }

  async #ask(call: string, args: readonly unknown[]): Promise<Reply> {
    await this.#child.stdin.write(`${JSON.stringify({ call, args })}\n`);
    await this.#child.stdin.flush();
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the driver ended: ${await this.#errors}`);
    return JSON.parse(value) as Reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.end();
    const code = await this.#child.exited;
    if (code !== 0) throw new Error(`the driver ended with ${code}: ${await this.#errors}`);
  }
}

function driver(ending: string): string {
  return join(import.meta.dir, `driver.${ending}`);
}
