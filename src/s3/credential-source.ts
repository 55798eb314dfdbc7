import type { S3Credentials } from "./sign.ts";

/** The keys that requests to S3 are signed with; they may change while the process lives. */
export interface CredentialSource {
  /** The keys to sign with now. Rejects with a `Failure` of the class "unavailable" where there are none to be had. */
  current(signal: AbortSignal): Promise<S3Credentials>;
  /** S3 refused these keys as such. If they are still in use, the next request asks for others first. */
  refused(keys: S3Credentials): void;
}

/** What a source of keys answers. */
export interface IssuedCredentials {
  readonly keys: S3Credentials;
  /** Milliseconds since the epoch; undefined for keys that do not expire. */
  readonly expiresAt?: number | undefined;
  /** Where the keys come from, for the log. */
  readonly origin: string;
}

/** Codes of S3 that mean: not with these keys, whatever the request is. */
const ABOUT_THE_KEYS: ReadonlySet<string> = new Set(["ExpiredToken", "InvalidToken", "InvalidAccessKeyId"]);

/**
 * Whether a refusal concerns the keys themselves. The answer to HEAD has no body, so it names no code; if a whole bucket
 * is refused so, it may be the keys.
 */
export function isAboutTheKeys(
  { method, key }: { readonly method: string; readonly key?: string },
  { s3Code, httpStatus }: { readonly s3Code: string; readonly httpStatus: number | undefined },
): boolean {
  if (s3Code !== "") return ABOUT_THE_KEYS.has(s3Code);
  return method === "HEAD" && key === undefined && (httpStatus === 400 || httpStatus === 401 || httpStatus === 403);
}
