import type { CredentialSource } from "../../src/s3/credential-source.ts";
import type { S3Credentials } from "../../src/s3/sign.ts";

/** Keys that never change. */
export function fixedCredentials(keys: S3Credentials): CredentialSource {
  return { current: () => Promise.resolve(keys), refused() {} };
}
