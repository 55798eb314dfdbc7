import { describe, expect, test } from "bun:test";
import { sha256Hex } from "../../src/std/digest.ts";
import { canonicalQuery, createSigner, EMPTY_PAYLOAD_HASH, encodePath } from "../../src/storage/s3/client/sign.ts";

const HOST = "examplebucket.s3.amazonaws.com";
const NOW = Date.UTC(2013, 4, 24);
const CREDENTIALS = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

// The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
const VECTORS = [
  {
    name: "GET Object",
    request: { method: "GET", path: "/test.txt", query: {}, headers: { range: "bytes=0-9" }, body: "" },
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    name: "PUT Object",
    request: {
      method: "PUT",
      path: encodePath("/test$file.text"),
      query: {},
      headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
      body: "Welcome to Amazon S3.",
    },
    signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  },
  {
    name: "GET Bucket Lifecycle",
    request: { method: "GET", path: "/", query: { lifecycle: "" }, headers: {}, body: "" },
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    name: "GET Bucket (List Objects)",
    request: { method: "GET", path: "/", query: { prefix: "J", "max-keys": "2" }, headers: {}, body: "" },
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
];

describe("a signature", () => {
  for (const { name, request, signature } of VECTORS) {
    test(`is the one of Amazon's example "${name}"`, () => {
      const { method, path, headers } = request;
      const payloadHash = sha256Hex(request.body);
      const unsigned = { method, host: HOST, path, query: canonicalQuery(request.query), headers, payloadHash };
      const signed = createSigner("us-east-1", CREDENTIALS)(unsigned, NOW);
      expect(signed["authorization"]).toEndWith(`Signature=${signature}`);
      expect(signed["x-amz-date"]).toBe("20130524T000000Z");
    });
  }

  const unsigned = { method: "GET", host: HOST, path: "/", query: "", headers: {}, payloadHash: EMPTY_PAYLOAD_HASH };

  test("uses the key of its day, also across midnight and back", () => {
    const signer = createSigner("us-east-1", CREDENTIALS);
    const day = 86_400_000;
    for (const now of [NOW, NOW + day, NOW]) {
      expect(signer(unsigned, now)).toEqual(createSigner("us-east-1", CREDENTIALS)(unsigned, now));
    }
    expect(signer(unsigned, NOW)["authorization"]).not.toBe(signer(unsigned, NOW + day)["authorization"]);
  });

  test("covers the session token of temporary credentials", () => {
    const signed = createSigner("us-east-1", { ...CREDENTIALS, sessionToken: "TOKEN" })(unsigned, NOW);
    expect(signed["x-amz-security-token"]).toBe("TOKEN");
    expect(signed["authorization"]).toContain(
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
    );
  });

  test("does not contain the secret", () => {
    const signed = createSigner("us-east-1", CREDENTIALS)(unsigned, NOW);
    expect(JSON.stringify(signed)).not.toContain(CREDENTIALS.secretAccessKey);
  });
});

describe("a path", () => {
  test("keeps the unreserved characters and slashes, and encodes every other byte in upper case", () => {
    expect(encodePath("az/AZ/09/-._~")).toBe("az/AZ/09/-._~");
    expect(encodePath("a b+c%2Fd")).toBe("a%20b%2Bc%252Fd");
    expect(encodePath("!'()*$&,:;=@?#[]")).toBe("%21%27%28%29%2A%24%26%2C%3A%3B%3D%40%3F%23%5B%5D");
    expect(encodePath("é/日/😀")).toBe("%C3%A9/%E6%97%A5/%F0%9F%98%80");
  });
});

test("a query is sorted and encoded, values with slashes too", () => {
  expect(canonicalQuery({ uploads: "", prefix: "a/b c", "max-keys": "2" })).toBe(
    "max-keys=2&prefix=a%2Fb%20c&uploads=",
  );
});

test("the hash of nothing is the known one", () => {
  expect(sha256Hex("")).toBe(EMPTY_PAYLOAD_HASH);
});
