import type { CliContext } from "../context.ts";
import { jsonLine, printableLines } from "../terminal/terminal-text.ts";
import { RemoteClient } from "./remote-client.ts";

/** The options of every command for a running service. */
export interface RemoteFlags {
  readonly server?: string;
  readonly json?: true;
}

export const DEFAULT_SERVER = "http://127.0.0.1:8080";

/** The surroundings of a command for a running service. */
export interface Remote {
  readonly client: RemoteClient;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The columns of the terminal, or `undefined` without a terminal. */
  readonly width: number | undefined;
  readonly env: CliContext["env"];
}

export function remoteOf({ server }: RemoteFlags, { env, out, err }: CliContext): Remote {
  const token = env["FETCHBOX_TOKEN"];
  return {
    client: new RemoteClient({
      server: server ?? (env["FETCHBOX_SERVER"] || DEFAULT_SERVER),
      token: token === "" ? undefined : token,
      env,
    }),
    out,
    err,
    width: process.stdout.isTTY ? process.stdout.columns : undefined,
    env,
  };
}

/** Prints the value as JSON in one line, or as `text` renders it. */
export function answer<T>(remote: Remote, { json }: RemoteFlags, value: T, text: (value: T) => string): void {
  remote.out(json === true ? jsonLine(value) : printableLines(text(value)));
}
