import type { Config } from "./schema.ts";

/** A part of the service that takes a new configuration while it works. */
export interface Reloadable {
  /** For the log. */
  readonly name: string;
  /** The keys that it takes, with all below them: `download.host`. */
  readonly keys: readonly string[];
  /** Says what the log says of it, without a secret. If it throws or rejects, the part works on with what it had. */
  readonly reload: (config: Config) => string | Promise<string>;
}
