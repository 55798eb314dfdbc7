import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CONTAINER_TOKEN, startContainer, startMetadata, startSts } from "../support/aws-sources.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const SCRIPT = join(import.meta.dir, "../support/ask-chain.ts");
/** Nothing of the machine that the tests run on. */
const NO_METADATA = { AWS_EC2_METADATA_DISABLED: "true" };

interface Answer {
  readonly keys?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
  readonly expiresAt?: number;
  readonly origin?: string;
  readonly tried?: readonly string[];
  readonly text?: string;
}

/** Nobody is there. Whoever asks through it gets nothing. */
const PROXY = { HTTP_PROXY: "http://127.0.0.1:1", HTTPS_PROXY: "http://127.0.0.1:1" };

/** Asks the chain in a process of its own: the SDK reads the environment of the process. */
async function ask(home: string, env: Readonly<Record<string, string>>): Promise<Answer> {
  await using child = Bun.spawn([process.execPath, SCRIPT], {
    env: { PATH: process.env["PATH"] ?? "", HOME: home, ...PROXY, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Answer;
}

function write(home: string, name: string, text: string): string {
  const file = join(home, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

describe("the chain finds keys", () => {
  test("in the shared files, by AWS_PROFILE", async () => {
    const home = makeTemporaryFolder("chain");
    write(home, ".aws/credentials", "[default]\naws_access_key_id = one\naws_secret_access_key = s1\n");
    write(
      home,
      ".aws/config",
      "[profile work]\naws_access_key_id = two\naws_secret_access_key = s2\naws_session_token = t2\n",
    );
    const byDefault = await ask(home, NO_METADATA);
    expect(byDefault.keys).toEqual({ accessKeyId: "one", secretAccessKey: "s1" });
    expect(byDefault.origin).toBe(`profile "default" of ${home}/.aws/credentials and ${home}/.aws/config`);
    const work = await ask(home, { ...NO_METADATA, AWS_PROFILE: "work" });
    expect(work.keys).toEqual({ accessKeyId: "two", secretAccessKey: "s2", sessionToken: "t2" });
  });

  test("in files that AWS_SHARED_CREDENTIALS_FILE names", async () => {
    const home = makeTemporaryFolder("chain");
    const file = write(home, "keys", "[default]\naws_access_key_id = one\naws_secret_access_key = s1\n");
    const { keys } = await ask(home, { ...NO_METADATA, AWS_SHARED_CREDENTIALS_FILE: file });
    expect(keys?.accessKeyId).toBe("one");
  });

  test("by the credential_process of a profile", async () => {
    const home = makeTemporaryFolder("chain");
    const expiresAt = new Date(Date.now() + 3_600_000);
    const answer = { Version: 1, AccessKeyId: "made", SecretAccessKey: "s", SessionToken: "t", Expiration: expiresAt };
    const script = write(home, "issue.sh", `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`);
    chmodSync(script, 0o755);
    write(home, ".aws/config", `[default]\ncredential_process = ${script}\n`);
    const found = await ask(home, NO_METADATA);
    expect(found.keys).toEqual({ accessKeyId: "made", secretAccessKey: "s", sessionToken: "t" });
    expect(found.expiresAt).toBe(expiresAt.getTime());
  });

  test("for a web identity, at STS", async () => {
    const home = makeTemporaryFolder("chain");
    await using sts = startSts("the-identity");
    const env = {
      ...NO_METADATA,
      AWS_WEB_IDENTITY_TOKEN_FILE: write(home, "token", "the-identity"),
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/downloads",
      AWS_ENDPOINT_URL_STS: sts.url,
    };
    const found = await ask(home, env);
    expect(found.keys).toEqual({
      accessKeyId: "AKID",
      secretAccessKey: "issued-secret",
      sessionToken: "session of AKID",
    });
    expect([found.origin, sts.asked]).toEqual(["web identity", ["POST /"]]);
  });

  test("for the role of a profile, at STS, with the keys of another", async () => {
    const home = makeTemporaryFolder("chain");
    await using sts = startSts("source-id");
    write(home, ".aws/credentials", "[source]\naws_access_key_id = source-id\naws_secret_access_key = s1\n");
    write(
      home,
      ".aws/config",
      "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = source\n",
    );
    const found = await ask(home, { ...NO_METADATA, AWS_PROFILE: "work", AWS_ENDPOINT_URL_STS: sts.url });
    expect(found.keys?.sessionToken).toBe("session of AKID");
    expect(sts.asked).toEqual(["POST /"]);
  });

  test("of its container", async () => {
    const home = makeTemporaryFolder("chain");
    await using container = startContainer();
    const found = await ask(home, {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/v1/keys`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: write(home, "token", CONTAINER_TOKEN),
    });
    expect(found.keys?.sessionToken).toBe("session of AKID");
    expect(Math.abs((found.expiresAt ?? 0) - Date.now() - container.keys.lifetimeMs)).toBeLessThan(60_000);
    expect([found.origin, container.asked]).toEqual(["container", [`GET /v1/keys ${CONTAINER_TOKEN}`]]);
  });

  test("of its machine's role, at the metadata service, by version 2 alone", async () => {
    const home = makeTemporaryFolder("chain");
    await using metadata = startMetadata();
    const found = await ask(home, { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url });
    expect(found.keys?.accessKeyId).toBe("AKID");
    expect(found.origin).toBe("instance metadata");
    expect(metadata.asked).toEqual([
      "PUT /latest/api/token without a token",
      "GET /latest/meta-data/iam/security-credentials/ metadata-token",
      "GET /latest/meta-data/iam/security-credentials/the-role metadata-token",
    ]);
  });
});

describe("a chain that finds nothing", () => {
  test("names every source, and why it gave nothing", async () => {
    const home = makeTemporaryFolder("chain");
    await using metadata = startMetadata();
    metadata.isAway = true;
    const { tried } = await ask(home, { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url });
    expect(tried).toEqual([
      "S3_ACCESS_KEY_ID and AWS_ACCESS_KEY_ID in the environment and .env: not set",
      `profile "default" of ${home}/.aws/credentials and ${home}/.aws/config: neither file exists`,
      "AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN: not both set",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI: not set",
      "instance metadata (IMDSv2): no answer, or no role",
    ]);
    // Version 1 is not asked instead.
    expect(metadata.asked).toEqual(["PUT /latest/api/token without a token"]);
  });

  test("says that a profile is missing, and that the metadata service is switched off", async () => {
    const home = makeTemporaryFolder("chain");
    write(home, ".aws/credentials", "[default]\naws_access_key_id = one\naws_secret_access_key = s1\n");
    const { tried = [] } = await ask(home, { ...NO_METADATA, AWS_PROFILE: "wrok" });
    expect(tried[1]).toStartWith('profile "wrok" of ');
    expect(tried[1]).toEndWith(": no such profile, or none with credentials");
    expect(tried.at(-1)).toBe("instance metadata (IMDSv2): switched off by AWS_EC2_METADATA_DISABLED");
  });

  test("keeps the command and the output of a credential_process to itself", async () => {
    const home = makeTemporaryFolder("chain");
    const command = `/bin/sh -c "echo hidden-output; echo hidden-complaint >&2; exit 1" hidden-argument`;
    write(home, ".aws/config", `[default]\ncredential_process = ${command}\n`);
    const { tried = [], text = "" } = await ask(home, NO_METADATA);
    expect(tried[1]).toEndWith("its credential_process failed (run it by hand to see why)");
    expect(text).not.toContain("hidden");
  });

  test("keeps what a credential_process printed to itself, where it is no answer", async () => {
    const home = makeTemporaryFolder("chain");
    write(home, ".aws/config", "[default]\ncredential_process = echo hidden-output\n");
    const { tried = [], text = "" } = await ask(home, NO_METADATA);
    expect(tried[1]).toContain("invalid JSON");
    expect(text).not.toContain("hidden");
  });

  test("says the name of STS's refusal, and nothing of its text", async () => {
    const home = makeTemporaryFolder("chain");
    await using sts = startSts("the-identity");
    const { tried = [], text = "" } = await ask(home, {
      ...NO_METADATA,
      AWS_WEB_IDENTITY_TOKEN_FILE: write(home, "token", "hidden-identity"),
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/downloads",
      AWS_ENDPOINT_URL_STS: sts.url,
    });
    // What stands behind it in the chain was not asked.
    expect(tried.at(-1)).toBe(
      "AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN: STS answered InvalidIdentityTokenException",
    );
    expect(text).not.toContain("hidden");
  });

  test("says which token file is missing", async () => {
    const home = makeTemporaryFolder("chain");
    const { tried = [] } = await ask(home, {
      AWS_WEB_IDENTITY_TOKEN_FILE: `${home}/none`,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/downloads",
    });
    expect(tried.at(-1)).toEndWith(`: ENOENT ${home}/none`);
  });

  test("says that the container is away, after its retries", async () => {
    const home = makeTemporaryFolder("chain");
    const container = startContainer();
    await container[Symbol.asyncDispose]();
    const { tried = [] } = await ask(home, { AWS_CONTAINER_CREDENTIALS_FULL_URI: container.url });
    expect(tried.at(-2)).toContain("ECONNREFUSED");
    expect(tried.at(-1)).toBe("instance metadata (IMDSv2): not asked within a container");
  });
});
