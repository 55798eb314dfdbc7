import { randomUUID } from "node:crypto";
import { S3Client } from "bun";
import { createS3Store } from "../../src/storage/s3/s3-store.ts";
import type { ObjectStoreHarness } from "../contract/object-store.ts";
import { abilitiesOf } from "./s3-abilities.ts";
import { curl, type S3Server, s3OptionsOf } from "./s3-server.ts";

/** A store on that server, with witnesses that share no code with it: Bun's own client and curl. */
export async function makeS3Harness(server: S3Server): Promise<ObjectStoreHarness> {
  const { endpoint, bucket, credentials } = server;
  const witness = new S3Client({ endpoint, bucket, region: "us-east-1", ...credentials });
  const prefix = `suite-${randomUUID()}/`;
  const store = createS3Store(s3OptionsOf(server));

  return {
    store,
    bucket,
    prefix,
    hasLabels: true,
    listsByAnyPrefix: await abilitiesOf(server).listsByAnyPrefix(),
    codingOf: async (key) => {
      const head = Buffer.from(await curl(server, `/${bucket}/${key}`, "head")).toString();
      return /^content-encoding: *(.*?)\r$/im.exec(head)?.[1];
    },
    readBack: (key) => {
      const path = encodeURIComponent(key).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
      // Bun's client takes the limit of 1024 bytes for one of the encoded key.
      if (path.length <= 1000) return witness.file(key).bytes();
      return curl(server, `/${bucket}/${path.replaceAll("%2F", "/")}`);
    },
    async leftovers() {
      const path = `/${bucket}?prefix=${encodeURIComponent(prefix)}&uploads=`;
      const xml = Buffer.from(await curl(server, path)).toString();
      if (!xml.includes("ListMultipartUploadsResult")) throw new Error(`unexpected answer: ${xml}`);
      return [...xml.matchAll(/<Key>(.*?)<\/Key>/g)].map((match) => match[1] ?? "");
    },
    async [Symbol.asyncDispose]() {
      const never = new AbortController().signal;
      const keys = await Array.fromAsync(store.list(bucket, prefix, never));
      for (let from = 0; from < keys.length; from += 24) {
        await Promise.all(keys.slice(from, from + 24).map(({ key }) => store.remove({ bucket, key }, never)));
      }
    },
  };
}
