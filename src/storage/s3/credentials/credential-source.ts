import type { S3Credentials } from "../client/sign.ts";

/** The keys that requests to S3 are signed with; they may change while the process lives. */
export interface CredentialSource {
  /**
   * The keys to sign with now, at once where they are at hand. Rejects with a `Failure` of the class "unavailable"
   * where no keys can be found.
   */
  current(signal: AbortSignal): S3Credentials | Promise<S3Credentials>;
  /** S3 refused these keys as such. If they are still in use, the next request asks for others first. */
  refused(keys: S3Credentials): void;
}

/** The answer of a source of keys. */
export interface IssuedCredentials {
  readonly keys: S3Credentials;
  /** Milliseconds since the epoch; undefined for keys that do not expire. */
  readonly expiresAt?: number | undefined;
  /** Where the keys come from, for the log. */
  readonly origin: string;
}

const ABOUT_THE_KEYS: ReadonlySet<string> = new Set(["ExpiredToken", "InvalidToken", "InvalidAccessKeyId"]);

/** Whether S3 refuses the keys by this code, for every request. */
export function isAboutTheKeys(s3Code: string): boolean {
  return ABOUT_THE_KEYS.has(s3Code);
}

/** Keys that never change. */
export function fixedCredentials(keys: S3Credentials): CredentialSource {
  return { current: () => keys, refused() {} };
}
