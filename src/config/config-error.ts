export interface Problem {
  /** `config/fetchbox.toml:12`, `.env:3`, `environment NAME`, `command line` or `defaults`. */
  readonly source: string;
  /** As one writes it in TOML: `queue.workers`; empty where there is none to name. */
  readonly key: string;
  /** What is wrong and what would be right; never a secret. */
  readonly message: string;
}

/** Everything that is wrong with a configuration, found in one go. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(renderProblems(problems), options);
    this.problems = problems;
  }
}

/** What a command says of what is no mistake, but surely not meant. */
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

/** What is wrong where the environment turns the check of certificates off, or nothing. */
export function certificateCheckProblem(env: Readonly<Record<string, string | undefined>>): Problem | undefined {
  if (env[NAME] !== "0") return undefined;
  return {
    source: `environment ${NAME}`,
    key: "",
    message: "must not be 0: no certificate would be checked; unset it",
  };
}
