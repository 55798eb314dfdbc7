import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { ROLES } from "../../config/values/access-token.ts";
import type { Call, Endpoint } from "../endpoints/endpoint.ts";
import { unauthorized } from "../http/access.ts";
import { isoTime } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { readRequestJson } from "../http/request-json.ts";
import { closed, oneOf, orNull, timeOrNull } from "../openapi/schema-parts.ts";
import { logFailedSignIn, type SignInReports } from "./failed-sign-in.ts";
import type { KnownToken, KnownTokens } from "./known-tokens.ts";
import type { SessionCookie } from "./session-cookie.ts";
import type { Sessions } from "./sessions.ts";
import type { SignInLimit } from "./sign-in-limit.ts";

const PATH = "/operators/session";
/** Most characters that a token of the configuration has. */
const TOKEN_CHARACTERS_MAX = 1024;
/** A token with its escapes. The sender is not known yet, so the body may be no larger. */
const BODY_BYTES_MAX = 8 * 1024;

const role = oneOf(ROLES, "Role of the token.");
const expiresAt = timeOrNull(
  "End of the session if no further request follows.",
  "Null without a session: for a bearer token, or at a service that needs no token.",
);

export const SessionStateSchema = closed(
  {
    needed: Type.Boolean({ description: "True if requests need a token or a session." }),
    role: orNull(role, "Role of the request's token or session; null without one."),
    expires_at: expiresAt,
  },
  "The rights of the request's sender.",
);

export const SignInRequestSchema = closed(
  {
    token: Type.String({
      minLength: 1,
      maxLength: TOKEN_CHARACTERS_MAX,
      description: "A token of `server.auth.tokens`, without role and name.",
    }),
  },
  "The token to sign in with.",
);

export const SignedInSchema = closed({ role, expires_at: expiresAt }, "The new session.");

const SIGN_IN = TypeCompiler.Compile(SignInRequestSchema);

interface SessionEndpointsDeps extends SignInReports {
  /** Name of the instance. */
  readonly instance: string;
  /** True if everyone who can connect may use the API. */
  readonly isOpen: () => boolean;
  readonly tokens: KnownTokens;
  readonly sessions: Sessions;
  readonly cookie: SessionCookie;
  readonly signInLimit: SignInLimit;
}

/** Endpoints with which a browser signs in and out. */
export function sessionEndpoints(deps: SessionEndpointsDeps): Endpoint[] {
  return [readSession(deps), signIn(deps), signOut(deps)];
}

const EXPIRES_EXAMPLE = "2026-11-24T00:00:00.000Z";
const INSTANCE = "X-Fetchbox-Instance";
const SET_COOKIE = { "Set-Cookie": "The cookie of the session." };

function readSession({ isOpen, instance }: SessionEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: PATH,
    access: "session",
    doc: {
      tag: "Service",
      summary: "Read the session",
      description: "Shows whether requests need a token, and the rights of the sender.",
      answers: {
        200: {
          description: "The rights of the sender.",
          schema: "SessionState",
          example: { needed: true, role: "operator", expires_at: EXPIRES_EXAMPLE },
          headers: { [INSTANCE]: "Name of the instance, as in `GET /operators/overview`; absent without a role." },
        },
      },
    },
    answer: ({ caller }) => {
      const needed = !isOpen();
      const senderRole = needed ? (caller?.role ?? null) : "operator";
      const state: Static<typeof SessionStateSchema> = {
        needed,
        role: senderRole,
        expires_at: caller?.session === undefined ? null : isoTime(caller.session.expiresAt),
      };
      // The endpoint is open to everyone, and the name is often that of the machine.
      return json(state, senderRole === null ? {} : { headers: { [INSTANCE]: asciiOf(instance) } });
    },
  };
}

/** A field's value has no other characters (RFC 9110, section 5.5). */
function asciiOf(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, "?");
}

function signIn(deps: SessionEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: PATH,
    access: "session",
    doc: {
      tag: "Service",
      summary: "Sign in with a browser",
      description:
        "Starts a session with the rights of a token. The cookie of the answer then replaces the bearer token. The " +
        "session ends after 12 hours without a request, after 7 days, at a restart, or when the token changes. After 5 " +
        "wrong tokens within a minute an address has to wait.",
      body: { schema: "SignInRequest", example: { token: "the-secret-of-a-token" } },
      answers: {
        200: {
          description: "The session has started.",
          schema: "SignedIn",
          headers: SET_COOKIE,
          example: { role: "operator", expires_at: EXPIRES_EXAMPLE },
        },
      },
      errors: ["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"],
    },
    answer: async (call) => {
      const { token: secret } = await readRequestJson(call.request, SIGN_IN, BODY_BYTES_MAX);
      if (deps.isOpen()) return signedIn({ role: "operator", expires_at: null }, {});
      const token = tokenOf(secret, call, deps);
      const { sessions, cookie } = deps;
      // The new session replaces the one of the same browser.
      endSessions(call, deps);
      const { id, expiresAt } = sessions.start(token);
      if (token.name !== undefined) call.note({ token_name: token.name });
      if (token.role === "operator") {
        call.recordActivity({ action: "sign-in", target: token.role, count: null }, token);
      }
      return signedIn({ role: token.role, expires_at: isoTime(expiresAt) }, { "set-cookie": cookie.set(id) });
    },
  };
}

function signedIn(body: Static<typeof SignedInSchema>, headers: Readonly<Record<string, string>>): Response {
  return json(body, { headers });
}

/** @throws ApiError UNAUTHORIZED for a wrong token, RATE_LIMITED after too many of them */
function tokenOf(
  secret: string,
  { address, requestId }: Call,
  { tokens, signInLimit, metrics, log }: SessionEndpointsDeps,
): KnownToken {
  // A right token must wait, too: its answer would otherwise reveal it.
  signInLimit.check(address);
  const token = tokens.find(secret);
  if (token !== undefined) return token;
  signInLimit.miss(address);
  metrics.signInFailed("unknown");
  logFailedSignIn(log, { requestId, address, method: "POST", route: PATH, reason: "unknown" });
  throw unauthorized("the token is unknown", ', error="invalid_token"');
}

function signOut(deps: SessionEndpointsDeps): Endpoint {
  return {
    method: "DELETE",
    path: PATH,
    access: "session",
    doc: {
      tag: "Service",
      summary: "Sign out",
      description:
        "Ends the session of the request's cookie, and removes the cookie. Without a session it does nothing.",
      answers: { 204: { description: "There is no session any more.", empty: true } },
    },
    answer: (call) => {
      endSessions(call, deps);
      return new Response(null, { status: 204, headers: { "set-cookie": deps.cookie.clear() } });
    },
  };
}

function endSessions({ request }: Call, { sessions, cookie }: SessionEndpointsDeps): void {
  for (const id of cookie.idsOf(request)) sessions.end(id);
}
