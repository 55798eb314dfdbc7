import { S3Client, type S3Request } from "../../src/storage/s3/client/s3-client.ts";
import { S3Failure } from "../../src/storage/s3/client/s3-failure.ts";
import { eventually } from "./eventually.ts";
import { curl, type S3Server, s3OptionsOf } from "./s3-server.ts";

/** What a server that speaks S3 may lack is found out by asking it; what it lacks is said on stderr. */
export interface S3Abilities {
  hasPolicies(): Promise<boolean>;
  hasTags(): Promise<boolean>;
  /** Of single objects. */
  keepsAcls(): Promise<boolean>;
  /** Whether it lists by a prefix that ends in the last character of Unicode, which has none after it. */
  listsByAnyPrefix(): Promise<boolean>;
}

export function abilitiesOf(server: S3Server): S3Abilities {
  const client = new S3Client(s3OptionsOf(server));
  const never = new AbortController().signal;
  const object = { bucket: server.bucket, key: "ability" } as const;

  /** The code of a refusal, "" for none. */
  async function codeFor(request: Omit<S3Request, "bucket">): Promise<string> {
    try {
      await client.exchange({ bucket: server.bucket, ...request }, never);
      return "";
    } catch (error) {
      if (error instanceof S3Failure) return error.s3Code;
      throw error;
    }
  }

  async function withObject<T>(headers: Record<string, string>, look: (code: string) => T | Promise<T>): Promise<T> {
    try {
      return await look(await codeFor({ method: "PUT", key: object.key, headers, body: Buffer.from("x") }));
    } finally {
      await client.exchange({ method: "DELETE", ...object }, never).catch(() => undefined);
    }
  }

  return {
    hasPolicies: async () =>
      said("bucket policies", (await codeFor({ method: "GET", query: { policy: "" } })) !== "NotImplemented"),
    hasTags: async () =>
      said("tags", await withObject({ "x-amz-tagging": "a=b" }, (code) => code !== "NotImplemented")),
    keepsAcls: async () =>
      said(
        "ACLs of objects",
        await withObject({ "x-amz-acl": "public-read" }, async () =>
          Buffer.from(await curl(server, `/${object.bucket}/${object.key}?acl=`)).includes("AllUsers"),
        ),
      ),
    listsByAnyPrefix: async () =>
      said("lists by a prefix that ends in U+10FFFF", (await codeFor(listBy("\u{10ffff}"))) !== "ServiceUnavailable"),
  };
}

function listBy(prefix: string) {
  return { method: "GET", query: { "list-type": "2", "max-keys": "1", prefix } } as const;
}

function said(what: string, isThere: boolean): boolean {
  if (!isThere) console.warn(`the S3 server has no ${what}: what needs them is left out`);
  return isThere;
}

/** The code by which the server refuses these keys, as it says it to curl. */
export async function codeForKeys(server: S3Server, keys: Partial<S3Server["credentials"]>): Promise<string> {
  const xml = await curl({ ...server, credentials: { ...server.credentials, ...keys } }, `/${server.bucket}`);
  const code = /<Code>(\w+)<\/Code>/.exec(Buffer.from(xml).toString())?.[1] ?? "";
  // Swift does not say whether the key or the secret is wrong.
  if (code !== "InvalidAccessKeyId" && code !== "SignatureDoesNotMatch") throw new Error(`unexpected code: ${code}`);
  return code;
}

/** Cuts a PUT of 11 bytes after 3, and waits until they can be seen: of a server that is known to be not atomic. */
export async function showsCutPut(server: S3Server, bucket: string): Promise<boolean> {
  const path = `/${bucket}/cut`;
  await curl(server, path, "cut");
  return eventually("the 3 bytes of the cut PUT are visible", async () => {
    const head = Buffer.from(await curl(server, path, "head")).toString();
    return /^HTTP\/1.1 200[^]*^content-length: 3\r$/im.test(head) || undefined;
  });
}
