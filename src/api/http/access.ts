import { type AccessToken, ROLES, type Role } from "../../config/values/access-token.ts";
import type { Access } from "../endpoints/endpoint.ts";
import type { Caller } from "../sign-in/caller.ts";
import type { KnownToken, KnownTokens } from "../sign-in/known-tokens.ts";
import { requireOwnPage } from "../sign-in/own-page.ts";
import type { SessionCookie } from "../sign-in/session-cookie.ts";
import type { Session, Sessions } from "../sign-in/sessions.ts";
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
export function isOpenToAll({ mode, tokens }: Pick<AuthSettings, "mode" | "tokens">): boolean {
  return mode === "none" || tokens.length === 0;
}

/**
 * Identifies the caller by its bearer token, or else by its session; `undefined` if the access needs neither.
 * @throws ApiError UNAUTHORIZED or FORBIDDEN unless the request's headers allow the access
 */
export type Authorize = (access: Access, request: Request) => Caller | undefined;

interface AuthorizeDeps {
  readonly settings: AuthSettings;
  readonly tokens: KnownTokens;
  readonly sessions: Sessions;
  readonly cookie: SessionCookie;
  /** Origin of `server.public_url`, if that is configured. */
  readonly publicOrigin: string | undefined;
}

/** Checks bearer tokens (RFC 6750, sections 2.1 and 3) in constant time, and the cookies of sessions. */
export function createAuthorize({ settings, tokens, sessions, cookie, publicOrigin }: AuthorizeDeps): Authorize {
  return (access, request) => {
    if (isOpenToAll(settings) || access === "open") return undefined;
    const authorization = request.headers.get("authorization");
    const session = isBearer(authorization) ? undefined : sessionOf(request, { sessions, cookie });
    if (session !== undefined) {
      requireRole(session.token, access);
      requireOwnPage(request, publicOrigin);
      return callerOf(session.token, session, session.isOpen);
    }
    if (access === "nothing" && authorization === null) return undefined;
    if (access === "session" && !isBearer(authorization)) return undefined;
    const secret = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (secret === undefined) throw unauthorized(missingText(cookie.idsOf(request)), "");
    const token = tokens.find(secret);
    if (token === undefined) throw unauthorized("the bearer token is unknown", ', error="invalid_token"');
    requireRole(token, access);
    return callerOf(token, undefined, () => tokens.renewed(token) !== undefined);
  };
}

/** The session of a request's cookie. */
function sessionOf(request: Request, { sessions, cookie }: Pick<AuthorizeDeps, "sessions" | "cookie">) {
  for (const id of cookie.idsOf(request)) {
    const session = sessions.use(id);
    if (session !== undefined) return session;
  }
  return undefined;
}

function missingText(sessionIds: readonly string[]): string {
  if (sessionIds.length > 0) return "the session has ended; sign in again";
  return "the request needs a bearer token: Authorization: Bearer TOKEN";
}

function isBearer(authorization: string | null): boolean {
  return authorization !== null && /^Bearer\b/i.test(authorization);
}

function callerOf(
  { id, name, role }: KnownToken,
  session: Session | undefined,
  isCurrent: Caller["isCurrent"],
): Caller {
  return { id, name, role, session, isCurrent };
}

const MAY: Readonly<Record<Role, readonly Access[]>> = {
  operator: ["nothing", "session", "submit", "jobs", "read", "operator"],
  submit: ["nothing", "session", "submit", "jobs"],
  read: ["nothing", "session", "jobs", "read"],
};

/** The roles whose tokens allow an access. */
export function rolesFor(access: Access): Role[] {
  return ROLES.filter((role) => MAY[role].includes(access));
}

function requireRole({ role }: KnownToken, access: Access): void {
  if (MAY[role].includes(access)) return;
  throw new ApiError("FORBIDDEN", {
    message: `a token with the role ${role} does not allow this; use a token with the role ${rolesFor(access).join(" or ")}`,
  });
}

/** The answer to a request without a valid token. `error` is the rest of the challenge (RFC 6750, section 3). */
export function unauthorized(message: string, error: string): ApiError {
  return new ApiError("UNAUTHORIZED", { message, headers: { "www-authenticate": `Bearer realm="fetchbox"${error}` } });
}
