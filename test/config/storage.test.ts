import { describe, expect, test } from "bun:test";
import { printConfig } from "../../src/config/print-config.ts";
import { createProject, onlyProblem } from "./project.ts";

const ENV = { S3_ACCESS_KEY_ID: "a", S3_SECRET_ACCESS_KEY: "b" };
const S3 = 'storage.backend = "s3"\n';

function storageOf(toml: string) {
  using project = createProject(toml);
  return project.load({ env: ENV }).storage;
}

describe("a bucket's name", () => {
  const elsewhere = `${S3}storage.endpoint = "http://ceph:7480"\n`;

  test("may have capital letters and '_' where the endpoint is not Amazon's", () => {
    expect(storageOf(`${elsewhere}storage.bucket = "Old_Bucket"`).bucket).toBe("Old_Bucket");
    expect(storageOf(`${elsewhere}storage.allowed_buckets = ["OLD"]`).allowed_buckets).toEqual(["OLD"]);
    using project = createProject(`${elsewhere}[handlers.x]\nhandler = "default"\nstorage.bucket = "Old_Bucket"`);
    expect(project.load({ env: ENV }).handlers["x"]?.storage.bucket).toBe("Old_Bucket");
  });

  test.each([
    ["", "3: storage.bucket"],
    ["https://s3.eu-west-1.amazonaws.com", "3: storage.bucket"],
    ["https://s3.cn-north-1.amazonaws.com.cn", "3: storage.bucket"],
    ["https://s3.dualstack.eu-west-1.api.aws", "3: storage.bucket"],
  ])("is strict at Amazon's endpoint %p", (endpoint, place) => {
    const toml = `${S3}storage.endpoint = "${endpoint}"\nstorage.bucket = "Old_Bucket"`;
    expect(onlyProblem(toml, ENV)).toStartWith(`config/fetchbox.toml:${place}: must be a bucket name: 3 to 63 of a-z`);
  });

  test("is strict with local storage, in each place that has one", () => {
    const strict = "must be a bucket name: 3 to 63 of a-z";
    expect(onlyProblem('storage.bucket = "A_B"')).toStartWith(`config/fetchbox.toml:1: storage.bucket: ${strict}`);
    expect(onlyProblem('storage.allowed_buckets = ["ok-bucket", "A_B"]')).toStartWith(
      `config/fetchbox.toml:1: storage.allowed_buckets[1]: ${strict}`,
    );
    expect(onlyProblem('[handlers.x]\nhandler = "default"\nstorage.bucket = "A_B"')).toStartWith(
      `config/fetchbox.toml:3: handlers.x.storage.bucket: ${strict}`,
    );
  });

  test("is strict with virtual addressing, where it is part of a host's name", () => {
    const toml = `${elsewhere}storage.addressing = "virtual"\nstorage.bucket = "Old_Bucket"`;
    const text = onlyProblem(toml, ENV);
    expect(text).toStartWith("config/fetchbox.toml:4: storage.bucket: must be a bucket name: 3 to 63");
    expect(text).toEndWith('or set storage.addressing to "path"');
  });

  test("has no dots with virtual addressing over https; over http, or by path, it may", () => {
    const dotted = (endpoint: string, addressing: string) =>
      `${S3}storage.endpoint = "${endpoint}"\nstorage.addressing = "${addressing}"\nstorage.bucket = "a.bucket"`;
    for (const endpoint of ["", "https://s3.example.com"]) {
      const text = onlyProblem(dotted(endpoint, "virtual"), ENV);
      expect(text).toStartWith("config/fetchbox.toml:4: storage.bucket: must have no dots");
      expect(text).toEndWith('set storage.addressing to "path"');
      expect(storageOf(dotted(endpoint, "path")).bucket).toBe("a.bucket");
    }
    expect(storageOf(dotted("http://s3.example.com", "virtual")).bucket).toBe("a.bucket");
  });
});

test.each(["http://127.0.0.1:9000", "https://[::1]:9000"])("virtual addressing needs a name, not %s", (endpoint) => {
  const toml = `${S3}storage.endpoint = "${endpoint}"\nstorage.addressing = "virtual"`;
  expect(onlyProblem(toml, ENV)).toBe(
    'config/fetchbox.toml:3: storage.addressing: cannot be "virtual" with an IP address as storage.endpoint: ' +
      'set it to "path"',
  );
});

test("virtual addressing takes no endpoint with a path, addressing by path does", () => {
  const toml = (addressing: string) =>
    `${S3}storage.endpoint = "https://host/s3"\nstorage.addressing = "${addressing}"`;
  expect(onlyProblem(toml("virtual"), ENV)).toBe(
    'config/fetchbox.toml:3: storage.addressing: cannot be "virtual" with a path in storage.endpoint: ' +
      'set it to "path"',
  );
  expect(storageOf(toml("path")).endpoint).toBe("https://host/s3");
});

describe("headers of objects", () => {
  test("are those that users set, in any letter case", () => {
    const headers = {
      "x-amz-server-side-encryption": "aws:kms",
      "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-west-1:1:key/k",
      "X-Amz-Server-Side-Encryption-Context": "e30=",
      "x-amz-server-side-encryption-bucket-key-enabled": "true",
      "x-amz-storage-class": "STANDARD_IA",
      "x-amz-acl": "bucket-owner-full-control",
      "x-amz-grant-read": 'id="x", id="y"',
      "x-amz-request-payer": "requester",
      "x-amz-expected-bucket-owner": "123456789012",
      "x-amz-tagging": "a=b&c=d",
      "Cache-Control": "max-age=60, public",
      "content-disposition": "attachment",
      "content-language": "de",
      expires: "Thu, 01 Dec 2050 16:00:00 GMT",
      "x-amz-meta-team": "gallery",
      "x-amz-object-lock-mode": "GOVERNANCE",
    };
    const table = Object.entries(headers).map(([name, value]) => `"${name}" = ${JSON.stringify(value)}`);
    expect<unknown>({ ...storageOf(`[storage.headers]\n${table.join("\n")}`).headers }).toEqual(headers);
  });

  test.each([
    ["Authorization", "x", "is not among the headers that can be set: x-amz-meta-* and cache-control, "],
    ["content-type", "x/y", "is not among the headers that can be set"],
    ["x-amz-copy-source", "/a/b", "is not among the headers that can be set"],
    ["x-amz-meta-", "x", "must be named by 1 to 128 of a-z, 0-9 and '-'"],
    ["x-amz-meta-a_b", "x", "must be named by 1 to 128 of a-z, 0-9 and '-'"],
    ["x-amz-meta-fetchbox-job", "x", "must not be set: FetchBox sets it itself"],
    ["X-Amz-Meta-Upload-Token", "x", "must not be set: FetchBox sets it itself"],
    ["x-amz-server-side-encryption-customer-key", "a", "must not be set: keys of one's own (SSE-C)"],
    ["x-amz-acl", "", "must be visible ASCII characters"],
    ["x-amz-acl", "private ", "must be visible ASCII characters"],
    ["x-amz-meta-a", "a  b", "must be visible ASCII characters"],
    ["x-amz-meta-a", "ä", "must be visible ASCII characters"],
    ["x-amz-meta-a", "a\\r\\nb", "must be visible ASCII characters"],
    ["x-amz-tagging", "x".repeat(2049), "must be at most 2048 bytes"],
    [
      "x-amz-tagging",
      "a=b&a%26c=d",
      'must be tags like "project=gallery&stage=raw", percent-encoded: must be named by',
    ],
    ["x-amz-tagging", "=b", 'must be tags like "project=gallery&stage=raw", percent-encoded: must have a name'],
    ["x-amz-tagging", "t=v&".repeat(11), 'must be tags like "project=gallery&stage=raw", percent-encoded: at most 10'],
    ["x-amz-storage-class", "Standard", "must be a storage class"],
  ])("%s = %p is refused with its line", (name, value, message) => {
    const text = onlyProblem(`[storage]\nregion = "x"\nheaders = { "${name}" = "${value}" }`);
    expect(text).toStartWith(`config/fetchbox.toml:3: storage.headers.${name}: ${message}`);
    expect(text).not.toContain("\n");
  });

  test("are refused twice, and where they are no text", () => {
    expect(onlyProblem('[storage.headers]\nexpires = "x"\nExpires = "y"')).toBe(
      "config/fetchbox.toml:3: storage.headers.Expires: is set twice; letter case does not matter",
    );
    expect(onlyProblem("[storage.headers]\nexpires = 1")).toStartWith(
      "config/fetchbox.toml:2: storage.headers.expires: must be a string",
    );
  });

  test("of a handler are checked alike, and none of them goes with every request", () => {
    const handler = '[handlers.x]\nhandler = "default"\n';
    expect(onlyProblem(`${handler}storage.headers = { "x-amz-copy-source" = "/a/b" }`)).toStartWith(
      "config/fetchbox.toml:3: handlers.x.storage.headers.x-amz-copy-source: is not among",
    );
    expect(onlyProblem(`${handler}storage.headers = { "X-Amz-Request-Payer" = "requester" }`)).toBe(
      "config/fetchbox.toml:3: handlers.x.storage.headers.X-Amz-Request-Payer: belongs to every request: move it to " +
        "storage.headers",
    );
  });

  test("leave room for the metadata of manifests, a handler's and the storage's together", () => {
    const half = "v".repeat(127);
    const shared = `[storage.headers]\nx-amz-meta-a = "${half}"\n`;
    const handler = (name: string) =>
      `[handlers.x]\nhandler = "default"\nstorage.headers = { x-amz-meta-${name} = "${half}" }`;
    using fits = createProject(shared + handler("b"));
    expect(fits.load().handlers["x"]?.storage.headers["x-amz-meta-b"]).toBe(half);
    expect(onlyProblem(shared + handler("bc"))).toBe(
      "config/fetchbox.toml:5: handlers.x.storage.headers: must have at most 256 bytes of x-amz-meta-* names and values",
    );
    expect(onlyProblem(`[storage.headers]\nx-amz-meta-a = "${"v".repeat(256)}"`)).toStartWith(
      "config/fetchbox.toml:1: storage.headers: must have at most 256 bytes",
    );
  });

  test("that refer to a variable are masked where they are printed", () => {
    using project = createProject('[storage.headers]\nx-amz-expected-bucket-owner = "${OWNER}"');
    const config = project.load({ env: { OWNER: "123456789012" } });
    expect(config.storage.headers["x-amz-expected-bucket-owner"]).toBe("123456789012");
    expect(printConfig(config)).not.toContain("123456789012");
    expect(printConfig(config)).toContain('x-amz-expected-bucket-owner = "***"');
  });
});

test("a file of authorities for S3 must hold one", () => {
  using project = createProject('[storage]\nca_file = "ca.pem"');
  project.write("ca.pem", "nothing of the kind");
  const [problem] = project.problems();
  expect(problem).toMatchObject({ source: "config/fetchbox.toml:2", key: "storage.ca_file" });
  expect(problem?.message).toEndWith("which FetchBox cannot use: it contains no PEM certificate");
});
