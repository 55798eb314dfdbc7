import { NAME_PATTERN } from "./name-rules.ts";
import { Secret } from "./secret.ts";

const NAME = new RegExp(NAME_PATTERN);

export const ROLES = ["operator", "submit", "read"] as const;
export type Role = (typeof ROLES)[number];

export interface AccessToken {
  /** `submit`: POST /jobs and reading jobs; `read`: reading everything; `operator`: everything. */
  readonly role: Role;
  /** The owner's name in the log. */
  readonly name: string | undefined;
  readonly token: Secret;
}

/** The parts of `operator:SECRET` or `operator/alice:SECRET`. Throws on any other text, without quoting it. */
export function parseAccessToken(text: string): AccessToken {
  const colon = text.indexOf(":");
  const [word, name, ...rest] = text.slice(0, Math.max(0, colon)).split("/");
  const role = ROLES.find((each) => each === word);
  if (role === undefined) {
    throw new Error(
      'must be "operator:SECRET", "submit:SECRET" or "read:SECRET", or with a name, as in "operator/alice:SECRET"',
    );
  }
  if (rest.length > 0 || (name !== undefined && !NAME.test(name))) {
    throw new Error("must have 1 to 64 of a-z, 0-9, '-', '_' and '.' as the name between \"/\" and \":\"");
  }
  const token = text.slice(colon + 1);
  // The characters fit into `Authorization: Bearer` and into a list by commas.
  if (!/^[!-+\--~]{16,1024}$/.test(token)) {
    throw new Error(
      "must have a token of 16 to 1024 visible ASCII characters, without a comma; `openssl rand -hex 24` makes one",
    );
  }
  return { role, name, token: new Secret(token) };
}

/** The part before the secret: `operator` or `operator/alice`. */
export function accessTokenOwner({ role, name }: AccessToken): string {
  return name === undefined ? role : `${role}/${name}`;
}

/** The part that a file must not contain. */
export function accessTokenSecret(text: string): string {
  return text.slice(text.indexOf(":") + 1);
}
