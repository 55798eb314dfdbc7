import type { Hangups } from "./service-signals.ts";

/** What every command works with; the environment, the process's own, is read by the configuration and the AWS SDK. */
export interface CliContext {
  readonly env: Record<string, string | undefined>;
  readonly cwd: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Heard since the process began, where it is a service. */
  readonly hangups?: Hangups | undefined;
}

export interface ConfigOptions {
  readonly config?: string;
  readonly envFile?: string;
}
