import { randomUUID } from "node:crypto";
import { systemClock } from "../../src/std/clock.ts";
import { S3Client } from "../../src/storage/s3/client/s3-client.ts";
import { fixedCredentials } from "../../src/storage/s3/credentials/credential-source.ts";
import type { S3StoreOptions } from "../../src/storage/s3/s3-store.ts";
import { noNames, testClient } from "./http.ts";

/** A real S3 server to test against, as the scripts of `scripts/test-s3/` start one. */
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
    clock: systemClock,
    random: Math.random,
    wait: () => Promise.resolve(),
    timeoutMs: 20_000,
  };
}

/** A bucket of the test's own, for settings that would disturb others. */
export async function makeBucket(server: S3Server) {
  const client = new S3Client(s3OptionsOf(server));
  const never = new AbortController().signal;
  const name = `fetchbox-${randomUUID()}`;
  const ask = (method: "GET" | "PUT" | "DELETE", query: Record<string, string> = {}, body = Buffer.alloc(0)) =>
    client.exchange({ method, bucket: name, query, body }, never);
  const removeVersion = (key: string, versionId: string) =>
    client.exchange({ method: "DELETE", bucket: name, key, query: { versionId } }, never);
  await ask("PUT");
  return { name, ask, removeVersion, [Symbol.asyncDispose]: () => ask("DELETE").then(() => undefined) };
}

/** By curl's exit code 28: it has waited for as long as it was told. */
const TIMED_OUT = 28;
const CURL = {
  get: "max-time = 20",
  head: "head\nmax-time = 20",
  // It has nothing more to send, waits for an answer, and hangs up.
  cut: 'request = PUT\ndata = abc\nheader = "content-length: 11"\nmax-time = 1',
} as const;

/**
 * The body of a GET, or with `head` the head of the answer to a HEAD, or with `cut` nothing: a PUT of 11 bytes that
 * ends after 3. Signed by curl.
 */
export async function curl(server: S3Server, path: string, what: keyof typeof CURL = "get"): Promise<Uint8Array> {
  const { accessKeyId, secretAccessKey } = server.credentials;
  const url = new URL(server.endpoint);
  // As a part of the URL: the option --user would cut an access key at its first colon.
  const user = `${encodeURIComponent(accessKeyId)}:${encodeURIComponent(secretAccessKey)}`;
  const config = `
    silent
    ${CURL[what]}
    path-as-is
    noproxy = "*"
    aws-sigv4 = "aws:amz:us-east-1:s3"
    header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
    url = "${url.protocol}//${user}@${url.host}${path}"
  `;
  const process = Bun.spawn(["curl", "--config", "-"], {
    stdin: Buffer.from(config),
    stdout: "pipe",
    stderr: "inherit",
  });
  const [body, status] = await Promise.all([process.stdout.bytes(), process.exited]);
  if (status !== (what === "cut" ? TIMED_OUT : 0)) throw new Error(`curl failed with ${status}`);
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
