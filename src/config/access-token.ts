import { Secret } from "./secret.ts";

export const ROLES = ["operator", "submit", "read"] as const;
export type Role = (typeof ROLES)[number];

export interface AccessToken {
  /** `submit`: POST /jobs and reading jobs; `read`: reading everything; `operator`: everything. */
  readonly role: Role;
  readonly token: Secret;
}

/** Splits `operator:SECRET`. Throws, without the text in the message, on anything else. */
export function parseAccessToken(text: string): AccessToken {
  const colon = text.indexOf(":");
  const role = ROLES.find((each) => each === text.slice(0, colon));
  if (colon < 0 || role === undefined) {
    throw new Error('must be "operator:SECRET", "submit:SECRET" or "read:SECRET"');
  }
  const token = text.slice(colon + 1);
  // What fits into `Authorization: Bearer` and into a list that is separated by commas.
  if (!/^[!-+\--~]{16,1024}$/.test(token)) {
    throw new Error(
      "must have a token of 16 to 1024 visible ASCII characters, without a comma; `openssl rand -hex 24` makes one",
    );
  }
  return { role, token: new Secret(token) };
}

/** The part that must not stand in a file. */
export function accessTokenSecret(text: string): string {
  return text.slice(text.indexOf(":") + 1);
}
