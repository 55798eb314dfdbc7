import { computed, signal } from "@preact/signals";
import type { Role, SessionAnswer } from "./answers.ts";
import { roleRefusal } from "./role-refusal.ts";
import { get, isSignedOut, post, remove } from "./service-request.ts";

const PATH = "operators/session";

/** The session of this browser; `undefined` until the service has answered. */
export const session = signal<SessionAnswer | undefined>(undefined);

export const needsSignIn = computed(
  () => session.value !== undefined && session.value.needed && (session.value.role === null || isSignedOut.value),
);

/** The reason why this session may not do something that needs a role; `undefined`: it may. */
export function refusal(needs: Role): string | undefined {
  return roleRefusal(needs, session.value ?? { needed: true, role: null });
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
  // A poll may have found the session ended before the page knew that the operator ended it.
  isSignedOut.value = false;
}
