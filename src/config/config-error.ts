export interface Problem {
  /** `config/fetchbox.toml:12`, `.env:3`, `environment NAME`, `command line` or `defaults`. */
  readonly source: string;
  /** As written in TOML: `queue.workers`; empty where the problem belongs to no key. */
  readonly key: string;
  /** The fault and its remedy; never a secret. */
  readonly message: string;
}

/** All problems of a configuration together. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(renderProblems(problems), options);
    this.problems = problems;
  }
}

/** The line that warns of a value that is allowed but most likely not meant. */
export function warningLine(problem: Problem): string {
  return `fetchbox: warning: ${renderProblems([problem])}\n`;
}

/** One problem a line: `config/fetchbox.toml:12: queue.workers: must be …`. A TOML syntax error adds its frame. */
export function renderProblems(problems: readonly Problem[]): string {
  return problems
    .map(({ source, key, message }) => (key === "" ? `${source}: ${message}` : `${source}: ${key}: ${message}`))
    .join("\n");
}

const NAME = "NODE_TLS_REJECT_UNAUTHORIZED";

/** The problem of an environment that turns the check of certificates off, or `undefined`. */
export function certificateCheckProblem(env: Readonly<Record<string, string | undefined>>): Problem | undefined {
  if (env[NAME] !== "0") return undefined;
  return {
    source: `environment ${NAME}`,
    key: "",
    message: "must not be 0, which turns off every check of certificates; unset it",
  };
}
