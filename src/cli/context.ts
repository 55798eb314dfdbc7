import type { Hangups } from "./service-signals.ts";

/** The surroundings of a command. `env` is the process's own environment, which the AWS SDK reads too. */
export interface CliContext {
  readonly env: Record<string, string | undefined>;
  readonly cwd: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The SIGHUPs since the start of the process, if it is a service. */
  readonly hangups?: Hangups | undefined;
}

export interface ConfigOptions {
  readonly config?: string;
  readonly envFile?: string;
}
