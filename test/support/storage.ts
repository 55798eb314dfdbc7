import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { S3Client } from "bun";
import { curl, type S3Server, s3ServerFor } from "./s3-server.ts";
import type { Service, ServiceOptions } from "./service.ts";

/** A backend that a service under test stores to, looked at by clients that share no code with it. */
export interface TestStorage {
  readonly name: string;
  readonly bucket: string;
  readonly settings: NonNullable<ServiceOptions["settings"]>;
  readonly env: NonNullable<ServiceOptions["env"]>;
  /** The key that a `storage_key` or `manifest_key` names; throws if it is outside the bucket. */
  keyOf(service: Service, url: string): string;
  /** The object of such a URL. */
  read(service: Service, url: string): Promise<Uint8Array>;
  /** Keys of all objects below prefixes. */
  keys(service: Service, prefixes: readonly string[]): Promise<string[]>;
  /** Whatever is half stored for these jobs. */
  leftovers(service: Service, jobIds: readonly string[]): Promise<string[]>;
}

/** Local storage, and S3 where the environment names a server; says so on stderr where it does not. */
export function storagesFor(what: string): readonly TestStorage[] {
  const server = s3ServerFor(`${what} on S3`);
  return server === undefined ? [LOCAL] : [LOCAL, s3Storage(server)];
}

const BUCKET = "fetchbox-artifacts";
const FOLDER = "data/objects";

export const LOCAL: TestStorage = {
  name: "local storage",
  bucket: BUCKET,
  settings: { "storage.backend": "local", "storage.path": FOLDER },
  env: {},
  keyOf: (service, url) => below(`${service.folder}/${FOLDER}/${BUCKET}/`, fileURLToPath(url)),
  read: (_service, url) => Bun.file(fileURLToPath(url)).bytes(),
  async keys(service, prefixes) {
    const keys = await filesBelow(join(service.folder, FOLDER, BUCKET));
    return keys.filter((key) => prefixes.some((prefix) => key.startsWith(prefix)));
  },
  // The folder is the test's own: whatever is no object of the bucket is left over, but for a lock.
  leftovers: async (service) =>
    (await filesBelow(join(service.folder, FOLDER))).filter(
      (file) => !file.startsWith(`${BUCKET}/`) && !file.endsWith(".lock"),
    ),
};

function below(start: string, path: string): string {
  if (!path.startsWith(start)) throw new Error(`${path} is not below ${start}`);
  return path.slice(start.length);
}

async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort();
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
}

function s3Storage(server: S3Server): TestStorage {
  const { endpoint, bucket, credentials } = server;
  const client = new S3Client({ endpoint, bucket, region: "us-east-1", ...credentials });
  return {
    name: "S3",
    bucket,
    settings: { "storage.backend": "s3", "storage.endpoint": endpoint, "storage.bucket": bucket },
    env: { S3_ACCESS_KEY_ID: credentials.accessKeyId, S3_SECRET_ACCESS_KEY: credentials.secretAccessKey },
    keyOf: (_service, url) => below(`s3://${bucket}/`, url),
    read: (_service, url) => client.file(below(`s3://${bucket}/`, url)).bytes(),
    async keys(_service, prefixes) {
      const pages = await Promise.all(prefixes.map((prefix) => client.list({ prefix, maxKeys: 1000 })));
      if (pages.some((page) => page.isTruncated === true)) throw new Error("more than 1000 objects below a prefix");
      return pages.flatMap((page) => page.contents?.map(({ key }) => key) ?? []).sort();
    },
    async leftovers(_service, jobIds) {
      const xml = Buffer.from(await curl(server, `/${bucket}?max-uploads=1000&uploads=`)).toString();
      if (!xml.includes("ListMultipartUploadsResult")) throw new Error(`unexpected answer: ${xml}`);
      const keys = [...xml.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key = ""]) => key);
      return keys.filter((key) => jobIds.some((jobId) => key.includes(jobId)));
    },
  };
}
