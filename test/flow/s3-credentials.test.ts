import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorOf } from "../support/answers.ts";
import { type AwsSource, CONTAINER_TOKEN, startContainer, startMetadata, startSts } from "../support/aws-sources.ts";
import { type Ended, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { s3ServerFor } from "../support/s3-server.ts";
import { type Service, settingsEnv, startService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(120_000);

const BUCKET = "fetchbox-artifacts";
const CANARY = /canary-/;
/** Of keys that are to expire within a test. */
const LIFETIME_MS = 8000;
const NO_METADATA = { AWS_EC2_METADATA_DISABLED: "true" };

interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A service that takes one pair of keys, and says of any other that it does not know them. */
interface Place extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: string;
  readonly good: Keys;
  /** Whether it can be asked for its objects. */
  readonly lists: boolean;
}

/** The scripted S3, which checks no signature but knows the id. */
async function scriptedPlace(): Promise<Place & { readonly s3: FaultyS3 }> {
  const s3 = await startFaultyS3();
  const good = { accessKeyId: "canary-id", secretAccessKey: "canary-secret" };
  s3.faultFor = ({ method, headers }) => {
    if (headers.get("authorization")?.includes(`Credential=${good.accessKeyId}/`) === true) return undefined;
    const body = method === "HEAD" ? "" : "<Error><Code>InvalidAccessKeyId</Code></Error>";
    return { kind: "answer", status: 403, body };
  };
  return {
    s3,
    endpoint: s3.endpoint,
    bucket: BUCKET,
    good,
    lists: false,
    [Symbol.asyncDispose]: () => s3[Symbol.asyncDispose](),
  };
}

function realPlace(): (() => Promise<Place>) | undefined {
  const server = s3ServerFor("the AWS chain through the binary, on a real S3 server");
  if (server === undefined) return undefined;
  const { endpoint, bucket, credentials: good } = server;
  return () => Promise.resolve({ endpoint, bucket, good, lists: true, [Symbol.asyncDispose]: () => Promise.resolve() });
}

const settingsOf = ({ endpoint, bucket }: Pick<Place, "endpoint" | "bucket">) => ({
  "storage.backend": "s3",
  "storage.endpoint": endpoint,
  "storage.bucket": bucket,
});

function profile(name: string, { accessKeyId, secretAccessKey }: Keys): string {
  return `[${name}]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
}

/** How often the log has a line with this message. */
function count(service: Service, message: string): number {
  return service.log.split(`"msg":"${message}"`).length - 1;
}

/** Sends SIGHUP, and waits for the one line that tells what came of it. */
async function reload(service: Service, message: string): Promise<void> {
  const before = count(service, message);
  service.signal("SIGHUP");
  await eventually(`the log says: ${message}`, () => (count(service, message) > before ? true : undefined));
}

async function storageIs(service: Service, status: "healthy" | "unhealthy"): Promise<string> {
  return eventually(`the storage is ${status}`, async () => {
    const answer = await service.fetch("/operators/health");
    const { storage } = ((await answer.json()) as { components: { storage: { status: string; reason?: string } } })
      .components;
    return storage.status === status ? (storage.reason ?? "") : undefined;
  });
}

const places = [
  ["the scripted S3", scriptedPlace],
  ["a real S3 server", realPlace()],
] as const;
for (const [name, startPlace] of places) {
  if (startPlace === undefined) continue;
  test(`keys of a profile store objects on ${name}, and SIGHUP takes what the files say then`, async () => {
    await using place = await startPlace();
    await using origin = await startOrigin();
    const folder = makeTemporaryFolder("aws");
    const file = join(folder, "credentials");
    const bad = { accessKeyId: "canary-unknown", secretAccessKey: "canary-other-secret" };
    writeFileSync(file, profile("work", place.good) + profile("other", bad));
    await using service = await startService({
      settings: settingsOf(place),
      env: { HOME: folder, AWS_SHARED_CREDENTIALS_FILE: file, ...NO_METADATA },
      // The SDK knows nothing of .env.
      files: { ".env": "AWS_PROFILE=work\n" },
    });
    const url = origin.serve("/file", "the body");
    const submit = () => service.submit({ manifest_version: "v1", resources: [{ id: "file", url }] });
    expect((await service.finished(await submit())).status).toBe("completed");
    if (place.lists) {
      const verified = await runBinary(["verify", "--deep"], { cwd: service.folder, env: service.env });
      expect([verified.code, verified.stderr]).toEqual([0, ""]);
      expect(verified.stdout).toContain("no inconsistencies");
      const checked = await runBinary(["storage", "check"], { cwd: service.folder, env: service.env });
      expect([checked.code, checked.stderr]).toEqual([0, ""]);
    }

    // The file is read when it is asked for, and not before.
    writeFileSync(file, profile("work", bad) + profile("other", place.good));
    expect((await service.finished(await submit())).status).toBe("completed");
    await reload(service, "reloaded");
    await storageIs(service, "unhealthy");

    writeFileSync(join(service.folder, ".env"), "AWS_PROFILE=other\n");
    await reload(service, "reloaded");
    await storageIs(service, "healthy");
    expect((await service.finished(await submit())).status).toBe("completed");

    // A file that is gone: the keys stay, and the log says why.
    rmSync(file);
    await reload(service, "reload failed for some parts; they keep their old configuration");
    expect((await service.finished(await submit())).status).toBe("completed");
    expect(service.log).toContain("neither file exists");
    for (const { secretAccessKey } of [place.good, bad]) expect(service.log).not.toContain(secretAccessKey);
    expect(service.log).not.toMatch(CANARY);
  });
}

describe("keys of the machine's role", () => {
  const startOn = (place: Pick<Place, "endpoint" | "bucket">, metadata: AwsSource) =>
    startService({
      settings: { ...settingsOf(place), "egress.allow_private": "127.0.0.1/32" },
      env: { HOME: makeTemporaryFolder("aws"), AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url },
    });

  test("are used with their session token, and no download reaches the metadata service", async () => {
    await using s3 = await startFaultyS3();
    await using metadata = startMetadata();
    await using origin = await startOrigin();
    await using service = await startOn({ endpoint: s3.endpoint, bucket: BUCKET }, metadata);
    const asked = metadata.asked.length;
    const path = "/latest/meta-data/iam/security-credentials/the-role";
    const closed = ["169.254.169.254", "[fd00:ec2::254]", "169.254.170.2"].map((host) => `http://${host}${path}`);
    const manifest = (urls: readonly string[]) => ({
      manifest_version: "v1",
      resources: urls.map((url, index) => ({ id: `r/${index}`, url })),
    });
    const refused = await service.post(manifest(closed));
    expect([refused.status, (await errorOf(refused)).details?.length]).toEqual([400, closed.length]);
    const leading = closed.map((location, index) =>
      origin.answer(`/leading/${index}`, (_request, response) => void response.writeHead(302, { location }).end()),
    );
    const job = await service.submit(manifest([origin.serve("/file", "the body"), ...leading]));
    expect((await service.finished(job)).status).toBe("partial");
    const rows = await service.resources(job);
    expect(Object.fromEntries(rows.map(({ resource_id: id, error }) => [id, error?.code]))).toEqual({
      "r/0": undefined,
      "r/1": "DOWNLOAD_URL_NOT_ALLOWED",
      "r/2": "DOWNLOAD_URL_NOT_ALLOWED",
      "r/3": "DOWNLOAD_URL_NOT_ALLOWED",
    });
    expect(metadata.asked).toHaveLength(asked);
    const stored = s3.calls.filter(({ key }) => key.startsWith("resources/"));
    expect(stored.map(({ headers }) => headers.get("x-amz-security-token"))).toEqual(["session of AKID"]);
    expect(service.log).not.toContain("issued-secret");
  });

  test("are renewed by themselves; where that fails until they expire, tasks wait at no attempt's cost", async () => {
    await using s3 = await startFaultyS3();
    await using metadata = startMetadata();
    await using origin = await startOrigin();
    metadata.keys = { id: "FIRST", secret: "issued-secret", lifetimeMs: LIFETIME_MS };
    await using service = await startOn({ endpoint: s3.endpoint, bucket: BUCKET }, metadata);
    const held = origin.hold("/held", Buffer.from("the body"));
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
    await held.reached;
    metadata.isAway = true;
    expect(await storageIs(service, "unhealthy")).toStartWith("there are no S3 credentials: no source gave any (");
    held.release();
    await eventually("the task waits", async () => {
      const [row] = await service.resources(job);
      return row?.error?.code === "UPLOAD_UNAVAILABLE" ? row : undefined;
    });
    expect((await service.resources(job)).map(({ attempts }) => attempts)).toEqual([0]);
    const late = await service.post({ manifest_version: "v1", resources: [{ id: "late", url: held.url }] });
    expect([late.status, (await errorOf(late)).code]).toEqual([503, "STORAGE_UNAVAILABLE"]);

    metadata.keys = { id: "SECOND", secret: "issued-secret", lifetimeMs: 3_600_000 };
    metadata.isAway = false;
    expect((await service.finished(job, 60_000)).status).toBe("completed");
    const stored = s3.calls.filter(({ method, key }) => method === "PUT" && key.startsWith("resources/"));
    expect(stored.map(({ headers }) => headers.get("x-amz-security-token"))).toEqual(["session of SECOND"]);
    expect(count(service, "the S3 credentials could not be renewed")).toBe(1);
  });
});

describe("a start without keys", () => {
  test("ends with 2 and names what was tried, and has made nothing", async () => {
    const folder = makeTemporaryFolder("no-keys");
    const ended = await runBinary(["serve"], {
      cwd: folder,
      env: { HOME: folder, FETCHBOX__STORAGE__BACKEND: "s3", ...NO_METADATA },
    });
    expect(ended.code).toBe(2);
    expect(ended.stdout).toBe("");
    const [problem = "", ...tried] = ended.stderr.trimEnd().split("\n");
    expect(problem).toBe('fetchbox: S3 credentials: storage.backend: "s3" needs credentials, and no source gave any:');
    expect(tried.map((line) => line.trim().split(/[: ]/)[0])).toEqual([
      "S3_ACCESS_KEY_ID",
      "profile",
      "AWS_WEB_IDENTITY_TOKEN_FILE",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
      "instance",
    ]);
    expect(await readdir(folder)).toEqual([]);
  });

  test("is not seen by config check, which asks nobody", async () => {
    await using metadata = startMetadata();
    const folder = makeTemporaryFolder("no-keys");
    const env = { HOME: folder, FETCHBOX__STORAGE__BACKEND: "s3", AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url };
    const checked: Ended = await runBinary(["config", "check"], { cwd: folder, env });
    expect([checked.code, checked.stderr]).toEqual([0, ""]);
    expect(checked.stdout).toContain("asks the AWS chain");
    const printed = await runBinary(["config", "print"], { cwd: folder, env });
    expect([printed.code, printed.stdout.includes("credentials")]).toEqual([0, false]);
    expect(metadata.asked).toEqual([]);
  });
});

describe("fetchbox run stores with keys", () => {
  const KEYS = { id: "canary-id", secret: "canary-secret", lifetimeMs: 3_600_000 };

  /** Runs one download in a folder that holds these files, to the S3 that knows only the canary. */
  async function expectStored(files: Readonly<Record<string, string>>, env: Readonly<Record<string, string>>) {
    await using place = await scriptedPlace();
    await using origin = await startOrigin();
    const folder = makeTemporaryFolder("run");
    const resources = [{ id: "file", url: origin.serve("/file", "the body") }];
    const all = { ...files, "manifest.json": JSON.stringify({ manifest_version: "v1", resources }) };
    for (const [name, content] of Object.entries(all)) writeFileSync(join(folder, name), content, { mode: 0o755 });
    const settings = settingsEnv({ ...settingsOf(place), "egress.allow_private": "127.0.0.0/8" });
    const ran = await runBinary(["run", "manifest.json"], { cwd: folder, env: { HOME: folder, ...settings, ...env } });
    expect([ran.code, ran.stderr]).toEqual([0, ""]);
    expect([...place.s3.objects.keys()].filter((key) => key.startsWith("resources/"))).toHaveLength(1);
  }

  test("that a credential_process gives", async () => {
    const issued = { Version: 1, AccessKeyId: KEYS.id, SecretAccessKey: KEYS.secret };
    const files = {
      "issue.sh": `#!/bin/sh\necho '${JSON.stringify(issued)}'\n`,
      config: "[default]\ncredential_process = ./issue.sh\n",
    };
    await expectStored(files, { ...NO_METADATA, AWS_CONFIG_FILE: "config" });
  });

  test("that STS gives for a web identity", async () => {
    await using sts = startSts("the-identity");
    sts.keys = KEYS;
    const role = { AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/downloads", AWS_WEB_IDENTITY_TOKEN_FILE: "token" };
    await expectStored({ token: "the-identity" }, { ...NO_METADATA, ...role, AWS_ENDPOINT_URL_STS: sts.url });
    expect(sts.asked).toEqual(["POST /"]);
  });

  test("that a container is given", async () => {
    await using container = startContainer();
    container.keys = KEYS;
    await expectStored(
      {},
      {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/v1/keys`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: CONTAINER_TOKEN,
      },
    );
  });
});

describe("SIGHUP", () => {
  test("takes the keys of .env anew, from the first to the next", async () => {
    await using place = await scriptedPlace();
    await using origin = await startOrigin();
    const env = (keys: Keys) => `S3_ACCESS_KEY_ID=${keys.accessKeyId}\nS3_SECRET_ACCESS_KEY=${keys.secretAccessKey}\n`;
    const unknown = { accessKeyId: "canary-unknown", secretAccessKey: "canary-other-secret" };
    await using service = await startService({ settings: settingsOf(place), files: { ".env": env(unknown) } });
    await storageIs(service, "unhealthy");
    writeFileSync(join(service.folder, ".env"), env(place.good));
    await reload(service, "reloaded");
    await storageIs(service, "healthy");
    const url = origin.serve("/file", "the body");
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "file", url }] });
    expect((await service.finished(job)).status).toBe("completed");

    // What cannot be read leaves everything as it was.
    writeFileSync(join(service.folder, ".env"), "S3_ACCESS_KEY_ID=canary-half\n");
    await reload(service, "reload failed: the configuration is invalid; the old one stays in use");
    expect(service.log).toContain("storage.credentials.secret_access_key: is missing");
    await storageIs(service, "healthy");
    expect(service.log).not.toMatch(CANARY);
  });

  test("never ends the process, however often it comes", async () => {
    await using service = await startService();
    for (let times = 0; times < 20; times++) service.signal("SIGHUP");
    await eventually("the log says so", () => count(service, "reloaded") > 0 || undefined);
    expect((await service.fetch("/health/ready")).status).toBe(200);
  });
});
