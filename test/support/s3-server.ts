import { randomUUID } from "node:crypto";
import { S3Client } from "bun";
import { createS3Client } from "../../src/s3/client.ts";
import { fixedCredentials } from "../../src/s3/credential-source.ts";
import { createS3Store, type S3StoreOptions } from "../../src/s3/store.ts";
import type { ObjectStoreHarness } from "../contract/object-store.ts";
import { noNames, testClient } from "./http.ts";

/** A real S3 server to test against, as `scripts/test-s3/ceph.sh` starts one. */
export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Someone without rights on the bucket. */
  readonly stranger: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

/** The server that the environment names; without one says on stderr that `what` is left out. */
export function s3ServerFor(what: string): S3Server | undefined {
  const endpoint = variable("ENDPOINT");
  const bucket = variable("BUCKET");
  const credentials = keysIn("");
  if (endpoint === undefined || bucket === undefined || credentials === undefined) {
    console.warn(
      `${what} is left out: set FETCHBOX_TEST_S3_ENDPOINT, _BUCKET, _ACCESS_KEY_ID and _SECRET_ACCESS_KEY, ` +
        "for example with scripts/test-s3/ceph.sh",
    );
    return undefined;
  }
  return { endpoint, bucket, credentials, stranger: keysIn("OTHER_") };
}

export function s3OptionsOf(server: S3Server): S3StoreOptions {
  return {
    endpoint: server.endpoint,
    region: "us-east-1",
    addressing: "path",
    credentials: fixedCredentials(server.credentials),
    http: testClient(),
    resolve: noNames,
    now: Date.now,
    random: Math.random,
    wait: () => Promise.resolve(),
    timeoutMs: 20_000,
  };
}

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

/** A bucket of the test's own, for settings that would disturb others. */
export async function makeBucket(server: S3Server) {
  const client = createS3Client(s3OptionsOf(server));
  const never = new AbortController().signal;
  const name = `fetchbox-${randomUUID()}`;
  const ask = (method: "GET" | "PUT" | "DELETE", query: Record<string, string> = {}, body = Buffer.alloc(0)) =>
    client.exchange({ method, bucket: name, query, body }, never);
  await ask("PUT");
  return { name, ask, [Symbol.asyncDispose]: () => ask("DELETE").then(() => undefined) };
}

/** The body of a GET, or with `head` the head of the answer to a HEAD; signed by curl. */
export async function curl(server: S3Server, path: string, head: "head" | "" = ""): Promise<Uint8Array> {
  const { accessKeyId, secretAccessKey } = server.credentials;
  const config = `
    silent
    ${head}
    path-as-is
    noproxy = "*"
    max-time = 20
    aws-sigv4 = "aws:amz:us-east-1:s3"
    user = "${accessKeyId}:${secretAccessKey}"
    header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
    url = "${server.endpoint}${path}"
  `;
  const process = Bun.spawn(["curl", "--config", "-"], {
    stdin: Buffer.from(config),
    stdout: "pipe",
    stderr: "inherit",
  });
  const [body, status] = await Promise.all([process.stdout.bytes(), process.exited]);
  if (status !== 0) throw new Error(`curl failed with ${status}`);
  return body;
}

function keysIn(prefix: string) {
  const accessKeyId = variable(`${prefix}ACCESS_KEY_ID`);
  const secretAccessKey = variable(`${prefix}SECRET_ACCESS_KEY`);
  return accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey };
}

function variable(name: string): string | undefined {
  return process.env[`FETCHBOX_TEST_S3_${name}`];
}
