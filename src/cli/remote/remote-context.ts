import type { CliContext } from "../context.ts";
import { jsonLine, printableLines } from "../terminal/terminal-text.ts";
import { RemoteClient } from "./remote-client.ts";

/** What every command for a running service takes. */
export interface RemoteFlags {
  readonly server?: string;
  readonly json?: true;
}

export const DEFAULT_SERVER = "http://127.0.0.1:8080";

/** A command for a running service at work: whom it asks, and how it answers. */
export interface Remote {
  readonly client: RemoteClient;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Columns of the terminal, if it is one. */
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

/** As JSON in one line, or as `text` makes it. */
export function answer<T>(remote: Remote, { json }: RemoteFlags, value: T, text: (value: T) => string): void {
  remote.out(json === true ? jsonLine(value) : printableLines(text(value)));
}
