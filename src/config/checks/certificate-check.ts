import type { Problem } from "../config-error.ts";

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
