import { describe, expect, test } from "bun:test";
import { loadAwsVariables } from "../../src/config/load-config.ts";
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

test("an s3 backend without keys is left to the AWS chain", () => {
  expect(keysOf({ AWS_PROFILE: "work" })).toEqual([undefined, undefined, undefined]);
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

describe("the region of an s3 backend", () => {
  const regionOf = (env: Record<string, string>, toml = S3) => {
    using project = createProject(toml);
    return project.load({ env }).storage.region;
  };

  test("is AWS_REGION's, else AWS_DEFAULT_REGION's, where storage.region is not set", () => {
    expect(regionOf({ AWS_REGION: "eu-west-1", AWS_DEFAULT_REGION: "eu-west-2" })).toBe("eu-west-1");
    expect(regionOf({ AWS_REGION: " ", AWS_DEFAULT_REGION: "eu-west-2" })).toBe("eu-west-2");
    expect(regionOf({})).toBe("us-east-1");
  });

  test("is storage.region's where that is set, by the file or by the environment", () => {
    expect(regionOf({ AWS_REGION: "eu-west-1" }, `${S3}\nstorage.region = "eu-north-1"`)).toBe("eu-north-1");
    expect(regionOf({ AWS_REGION: "eu-west-1", FETCHBOX__STORAGE__REGION: "eu-south-1" })).toBe("eu-south-1");
  });

  test("is not AWS_REGION's for local storage", () => {
    expect(regionOf({ AWS_REGION: "eu-west-1" }, "")).toBe("us-east-1");
  });

  test("that no region can be called is a problem of the variable", () => {
    using project = createProject(S3);
    expect(project.problems({ env: { AWS_REGION: "eu west" } })).toMatchObject([
      { source: "environment AWS_REGION", key: "storage.region" },
    ]);
  });
});

test("the AWS_* variables that .env adds are those that the environment has not", () => {
  using project = createProject(S3);
  project.write("config/.env", "AWS_PROFILE=work\nAWS_REGION=eu-west-1\nOTHER=x\n");
  const env = { AWS_REGION: "eu-west-2" };
  expect(loadAwsVariables({ env, cwd: project.cwd })).toEqual({ AWS_PROFILE: "work" });
});
