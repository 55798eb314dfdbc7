import type { Role, SessionAnswer } from "./answers.ts";

/**
 * The reason why a session may not do something that needs a role; `undefined`: it may. The role `operator` may do
 * everything.
 */
export function roleRefusal(needs: Role, { needed, role }: Pick<SessionAnswer, "needed" | "role">): string | undefined {
  if (!needed || role === "operator" || role === needs) return undefined;
  return `It needs a token with the role ${needs}; yours is ${role ?? "unknown"}.`;
}
