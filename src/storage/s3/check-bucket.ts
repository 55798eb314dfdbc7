import { Failure } from "../../jobs/failure.ts";
import { isSuccess, type S3Client, type S3Reply } from "./client/s3-client.ts";
import { refusal, S3Failure } from "./client/s3-failure.ts";

/**
 * Whether a bucket can be used, by the storage's answers. Resolves with `undefined` where the bucket exists and these
 * credentials may look at it. Resolves with a doubt where they may neither look at it nor list it: many policies allow
 * uploads alone. Throws a `Failure` where no object can be stored: wrong keys, signature, bucket or region, no answer
 * in time, or an answer that is not S3's.
 */
export async function checkBucket(client: S3Client, bucket: string, signal: AbortSignal): Promise<string | undefined> {
  const head = await client.ask({ method: "HEAD", bucket }, signal);
  if (isSuccess(head) && !isPage(head)) return undefined;
  // An answer to HEAD has no body, and so no reason.
  try {
    const query = { "list-type": "2", "max-keys": "1" };
    const { text } = await client.exchange({ method: "GET", bucket, query }, signal);
    if (text.includes("<ListBucketResult")) return undefined;
    throw refusal({ method: "GET", bucket }, 200, text);
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    if (error.s3Code === "AccessDenied") return doubtAbout(bucket);
    if (error.s3Code === "" && error.httpStatus !== undefined) throw unusable(error);
    throw error;
  }
}

/** Whether it is a page for people, which no S3 service sends. Swift calls its empty answers HTML, too. */
export function isPage({ headers }: Pick<S3Reply, "headers">): boolean {
  return /^text\/html\b/i.test(headers.get("content-type") ?? "") && headers.get("content-length") !== "0";
}

function doubtAbout(bucket: string): string {
  return (
    `S3 denies these credentials to look at bucket ${bucket} (AccessDenied to HEAD and to a listing). Uploads may work: ` +
    "their first failure would close the bucket. Give the credentials s3:ListBucket, so that trouble shows earlier"
  );
}

/** The status concerns the bucket here, and not an object. */
function unusable({ message, httpStatus, class: kind, code, cause }: S3Failure): Failure {
  return new Failure(kind === "unavailable" ? code : "UPLOAD_UNAVAILABLE", message, { httpStatus, cause });
}
