import { expect, test } from "bun:test";
import { createProject } from "./project.ts";

const S3 = `storage.backend = "s3"`;

function keysOf(env: Record<string, string>, toml = S3): (string | undefined)[] {
  using project = createProject(toml);
  const credentials = project.load({ env }).storage.credentials;
  return [credentials?.access_key_id, credentials?.secret_access_key, credentials?.session_token].map((key) =>
    key?.reveal(),
  );
}

const S3_KEYS = { S3_ACCESS_KEY_ID: "s3-id", S3_SECRET_ACCESS_KEY: "s3-key" };
const AWS_KEYS = { AWS_ACCESS_KEY_ID: "aws-id", AWS_SECRET_ACCESS_KEY: "aws-key", AWS_SESSION_TOKEN: "aws-session" };

test("S3_* variables stand above AWS_* ones, and the two are never mixed", () => {
  expect(keysOf(AWS_KEYS)).toEqual(["aws-id", "aws-key", "aws-session"]);
  expect(keysOf({ ...AWS_KEYS, ...S3_KEYS })).toEqual(["s3-id", "s3-key", undefined]);
});

test("empty variables are as good as none", () => {
  expect(keysOf({ ...AWS_KEYS, S3_ACCESS_KEY_ID: "", S3_SECRET_ACCESS_KEY: "" })).toEqual([
    "aws-id",
    "aws-key",
    "aws-session",
  ]);
});

test("references in [storage.credentials] stand above ambient variables", () => {
  const toml = `${S3}\n[storage.credentials]\naccess_key_id = "\${ID}"\nsecret_access_key = "\${KEY}"`;
  expect(keysOf({ ...AWS_KEYS, ...S3_KEYS, ID: "own-id", KEY: "own-key" }, toml)).toEqual([
    "own-id",
    "own-key",
    undefined,
  ]);
});

test("the local backend takes no credentials from the environment", () => {
  expect(keysOf({ ...AWS_KEYS, ...S3_KEYS }, "")).toEqual([undefined, undefined, undefined]);
});

test("an s3 backend without credentials is a problem that says what to set", () => {
  using project = createProject(S3);
  const [problem, ...others] = project.problems();
  expect(others).toEqual([]);
  expect(problem).toMatchObject({ source: "config/fetchbox.toml:1", key: "storage.backend" });
  expect(problem?.message).toContain("S3_ACCESS_KEY_ID");
});

test("half a pair of credentials is a problem, even if the other family is whole", () => {
  using project = createProject(S3);
  project.write("config/.env", "\nS3_ACCESS_KEY_ID=id");
  expect(project.problems({ env: AWS_KEYS })).toEqual([
    {
      source: "config/fetchbox.toml:1",
      key: "storage.credentials.secret_access_key",
      message: "is missing. Set S3_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY.",
    },
  ]);
});
