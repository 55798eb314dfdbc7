import { timingSafeEqual } from "node:crypto";
import { type AccessToken, ROLES, type Role } from "../../config/values/access-token.ts";
import type { Access } from "../endpoints/endpoint.ts";
import { ApiError } from "./errors.ts";

export interface AuthSettings {
  /** "none": the service is open to everyone who can connect. */
  readonly mode: "token" | "none";
  /**
   * The list may be replaced while the service runs. With an empty list "token" is open, too; the configuration allows
   * that on loopback addresses only.
   */
  tokens: readonly AccessToken[];
}

/** True if everyone who can connect may use the API. */
export function isOpenToAll({ mode, tokens }: AuthSettings): boolean {
  return mode === "none" || tokens.length === 0;
}

/** The caller of a request, identified by its token. It contains no secret. */
export interface Caller {
  /** Differs between tokens. */
  readonly id: string;
  /** The token's name in the configuration; `undefined` if it has none. */
  readonly name: string | undefined;
}

/**
 * Identifies the caller; `undefined` if the access needs no token.
 * @throws ApiError UNAUTHORIZED or FORBIDDEN unless the `Authorization` header allows the access
 */
export type Authorize = (access: Access, authorization: string | null) => Caller | undefined;

/** Checks bearer tokens (RFC 6750, sections 2.1 and 3) in constant time. */
export function createAuthorize(settings: AuthSettings): Authorize {
  const knownTokens = tokensOf(settings);
  return (access, authorization) => {
    if (isOpenToAll(settings)) return undefined;
    if (access === "open" || (access === "nothing" && authorization === null)) return undefined;
    const sent = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (sent === undefined) throw unauthorized("the request needs a bearer token: Authorization: Bearer TOKEN", "");
    const found = tokenOf(knownTokens(), sent);
    if (found === undefined) throw unauthorized("the bearer token is unknown", ', error="invalid_token"');
    if (!MAY[found.role].includes(access)) {
      const roles = rolesFor(access).join(" or ");
      throw new ApiError("FORBIDDEN", {
        message: `a token with the role ${found.role} does not allow this; use a token with the role ${roles}`,
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

/** The roles whose tokens allow an access. */
export function rolesFor(access: Access): Role[] {
  return ROLES.filter((role) => MAY[role].includes(access));
}

interface KnownToken extends Caller {
  readonly role: Role;
  readonly digest: Uint8Array;
}

/** The digests of the tokens in the settings, computed once for each list. */
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
  // It compares all tokens, so that the time does not depend on the matching one.
  const found = known.filter((token) => timingSafeEqual(token.digest, digest));
  return found.toSorted((a, b) => MAY[b.role].length - MAY[a.role].length)[0];
}

/** A digest, so that all compared values have the same length. */
function digestOf(token: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(token).digest();
}

function unauthorized(message: string, error: string): ApiError {
  return new ApiError("UNAUTHORIZED", { message, headers: { "www-authenticate": `Bearer realm="fetchbox"${error}` } });
}
