import { timingSafeEqual } from "node:crypto";
import { type AccessToken, ROLES, type Role } from "../../config/values/access-token.ts";
import type { Access } from "../endpoints/endpoint.ts";
import { ApiError } from "./errors.ts";

export interface AuthSettings {
  /** "none": open to everyone who can connect. */
  readonly mode: "token" | "none";
  /**
   * They may be replaced while the service runs. Without any, "token" is open, too; the configuration allows that on
   * loopback addresses only.
   */
  tokens: readonly AccessToken[];
}

/** Whether everyone who can connect may call. */
export function isOpenToAll({ mode, tokens }: AuthSettings): boolean {
  return mode === "none" || tokens.length === 0;
}

/** Whose request it is, by its token. Nothing of it is secret. */
export interface Caller {
  /** Tells the tokens apart. */
  readonly id: string;
  /** What the configuration calls it, where it has a name there. */
  readonly name: string | undefined;
}

/**
 * Says who calls; `undefined` where no token was needed.
 * @throws ApiError UNAUTHORIZED or FORBIDDEN unless the `Authorization` header allows the access
 */
export type Authorize = (access: Access, authorization: string | null) => Caller | undefined;

/** Bearer tokens (RFC 6750), each compared in the same time whatever was sent. */
export function createAuthorize(settings: AuthSettings): Authorize {
  const knownTokens = tokensOf(settings);
  return (access, authorization) => {
    if (isOpenToAll(settings)) return undefined;
    if (access === "open" || (access === "nothing" && authorization === null)) return undefined;
    const sent = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (sent === undefined) throw unauthorized("a bearer token is needed: Authorization: Bearer TOKEN", "");
    const found = tokenOf(knownTokens(), sent);
    if (found === undefined) throw unauthorized("the bearer token is not known here", ', error="invalid_token"');
    if (!MAY[found.role].includes(access)) {
      const roles = ROLES.filter((role) => MAY[role].includes(access)).join(" or ");
      throw new ApiError("FORBIDDEN", {
        message: `a token of the role ${found.role} does not allow this: ${roles} does`,
      });
    }
    return found;
  };
}

const MAY: Readonly<Record<Role, readonly Access[]>> = {
  operator: ["nothing", "submit", "jobs", "read", "operator"],
  submit: ["nothing", "submit", "jobs"],
  read: ["nothing", "jobs", "read"],
};

interface KnownToken extends Caller {
  readonly role: Role;
  readonly digest: Uint8Array;
}

/** The tokens of the settings, digested once for each list of them. */
function tokensOf(settings: AuthSettings): () => readonly KnownToken[] {
  let { tokens } = settings;
  const digested = () =>
    tokens.map(({ role, name, token }, at) => ({ id: `token ${at}`, name, role, digest: digestOf(token.reveal()) }));
  let known = digested();
  return () => {
    if (tokens === settings.tokens) return known;
    tokens = settings.tokens;
    known = digested();
    return known;
  };
}

function tokenOf(known: readonly KnownToken[], sent: string): KnownToken | undefined {
  const digest = digestOf(sent);
  // All of them, so that the time does not tell which one came close.
  const found = known.filter((token) => timingSafeEqual(token.digest, digest));
  return found.toSorted((a, b) => MAY[b.role].length - MAY[a.role].length)[0];
}

/** Of equal length, whatever the token's. */
function digestOf(token: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(token).digest();
}

function unauthorized(message: string, error: string): ApiError {
  return new ApiError("UNAUTHORIZED", { message, headers: { "www-authenticate": `Bearer realm="fetchbox"${error}` } });
}
