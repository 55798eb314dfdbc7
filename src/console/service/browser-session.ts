import { computed, signal } from "@preact/signals";
import type { Role, SessionAnswer } from "./answers.ts";
import { get, isSignedOut, post, remove } from "./service-request.ts";

const PATH = "operators/session";

/** The session of this browser; `undefined` until the service has answered. */
export const session = signal<SessionAnswer | undefined>(undefined);

export const needsSignIn = computed(
  () => session.value !== undefined && session.value.needed && (session.value.role === null || isSignedOut.value),
);

const MAY: Readonly<Record<Role, readonly Role[]>> = {
  operator: ["submit", "read", "operator"],
  read: ["read"],
  submit: ["submit"],
};

/** The reason why this session may not do something that needs a role; `undefined`: it may. */
export function refusal(needs: Role): string | undefined {
  const { needed, role } = session.value ?? { needed: true, role: null };
  if (!needed || (role !== null && MAY[role].includes(needs))) return undefined;
  return `It needs a token with the role ${needs}; yours is ${role ?? "unknown"}.`;
}

export async function readSession(): Promise<void> {
  session.value = await get<SessionAnswer>(PATH);
}

/** Exchanges a token for a session. The token is not kept. @throws RequestError */
export async function signIn(token: string): Promise<void> {
  await post(PATH, { token });
  await readSession();
  isSignedOut.value = false;
}

export async function signOut(): Promise<void> {
  await remove(PATH);
  await readSession();
}
