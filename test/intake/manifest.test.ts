import { describe, expect, test } from "bun:test";
import type { ManifestLimits } from "../../src/intake/manifest/manifest-rules.ts";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { manifestWith, parse, parseText, violationsOf } from "./manifests.ts";

const URL_OK = "https://example.com/a";
const withIds = (...ids: string[]) => ({ manifest_version: "v1", resources: ids.map((id) => ({ id, url: URL_OK })) });

/** Expects just this violation. */
function expectViolation(manifest: unknown, path: string, message: string, limits: Partial<ManifestLimits> = {}): void {
  expect(violationsOf(() => parse(manifest, limits))).toEqual([{ path, message }]);
}

function expectAccepted(manifest: unknown): void {
  expect(violationsOf(() => parse(manifest))).toEqual([]);
}

test("the manifest of the contract is accepted as it is, with its metadata as written", () => {
  const manifest = {
    manifest_version: "v1",
    storage: { bucket: "artifacts", resource_key_prefix: "2026/11/23/", manifest_file: "metadata.json" },
    metadata: { any: "JSON object" },
    attributes: { priority: "high" },
    resources: [
      {
        id: "cover.jpg",
        url: "https://cdn.example.com/image.jpg",
        headers: { Referer: "https://example.com/page.html" },
        tags: { any: "string map" },
        checksum: `sha256:${"0a".repeat(32)}`,
        size: 48213,
        content_type: "image/*",
        reject_html: false,
        proxy_pool: "residential-us",
      },
    ],
  };
  const parsed = parse(manifest);
  expect<unknown>(parsed.manifest).toEqual(manifest);
  expect(parsed.metadataText).toBe('{"any":"JSON object"}');
});

test("the least manifest is accepted", () => {
  expect(parse(manifestWith({}))).toEqual({ manifest: parse(manifestWith({})).manifest, metadataText: undefined });
});

test("metadata keeps the digits that a number in JavaScript would lose", () => {
  const text = `{"manifest_version":"v1","metadata":{"n": 12345678901234567890.10},"resources":[{"id":"a","url":"${URL_OK}"}]}`;
  expect(parseText(text).metadataText).toBe('{"n": 12345678901234567890.10}');
});

test("digests come out in lower case", () => {
  const { manifest } = parse(manifestWith({ checksum: `md5:${"AB".repeat(16)}` }));
  expect(manifest.resources[0]?.checksum).toBe(`md5:${"ab".repeat(16)}`);
});

describe("a wrong shape is named with its place", () => {
  test.each<[object | string | null, string, string]>([
    [{ resources: [{ id: "a", url: URL_OK }] }, "/manifest_version", "is required"],
    [{ ...manifestWith({}), manifest_version: "v2" }, "/manifest_version", 'must be "v1"'],
    [{ ...manifestWith({}), manifest_version: 1 }, "/manifest_version", 'must be "v1"'],
    [{ manifest_version: "v1" }, "/resources", "is required"],
    [{ manifest_version: "v1", resources: [] }, "/resources", "must have at least 1 element"],
    [{ manifest_version: "v1", resources: {} }, "/resources", "must be an array, is an object"],
    [{ manifest_version: "v1", resources: [null] }, "/resources/0", "must be an object, is null"],
    [manifestWith({}, { storage: null }), "/storage", "must be an object, is null"],
    [manifestWith({}, { storage: { folder: "x" } }), "/storage/folder", "is an unknown field"],
    [manifestWith({}, { metadata: [] }), "/metadata", "must be an object, is an array"],
    [manifestWith({}, { metadata: "x" }), "/metadata", "must be an object, is a string"],
    [
      manifestWith({}, { attributes: { priority: "urgent" } }),
      "/attributes/priority",
      'must be one of "low", "normal", "high"',
    ],
    [manifestWith({}, { attributes: { prio: 1 } }), "/attributes/prio", "is an unknown field"],
    [manifestWith({}, { extra: 1 }), "/extra", "is an unknown field"],
    [manifestWith({ "a/b~": 1 }), "/resources/0/a~1b~0", "is an unknown field"],
    [manifestWith({ constructor: 1 }), "/resources/0/constructor", "is an unknown field"],
    [manifestWith({ id: 1 }), "/resources/0/id", "must be a string, is a number"],
    [manifestWith({ url: undefined }), "/resources/0/url", "is required"],
    [manifestWith({ url: null }), "/resources/0/url", "must be a string, is null"],
    [manifestWith({ headers: [] }), "/resources/0/headers", "must be an object, is an array"],
    [manifestWith({ headers: { A: 1 } }), "/resources/0/headers/A", "must be a string, is a number"],
    [manifestWith({ tags: { "a\nb": 5 } }), "/resources/0/tags/a\nb", "must be a string, is a number"],
    [manifestWith({ reject_html: "no" }), "/resources/0/reject_html", "must be true or false, is a string"],
    ["text", "", "must be an object, is a string"],
    [null, "", "must be an object, is null"],
    [[], "", "must be an object, is an array"],
  ])("%j", (manifest, path, message) => {
    expectViolation(manifest, path, message);
  });

  test.each([["5"], [1.5], [-1], [2 ** 53], [null]])("a size of %p", (size) => {
    expectViolation(manifestWith({ size }), "/resources/0/size", "must be a whole number from 0 to 9007199254740991");
  });

  test("sizes from 0 to 2^53 - 1 are accepted", () => {
    expectAccepted(manifestWith({ size: 0 }));
    expectAccepted(manifestWith({ size: Number.MAX_SAFE_INTEGER }));
  });

  test("a member __proto__ is an unknown field", () => {
    const text = `{"manifest_version":"v1","__proto__":{},"resources":[{"id":"a","url":"${URL_OK}"}]}`;
    expect(violationsOf(() => parseText(text))).toEqual([{ path: "/__proto__", message: "is an unknown field" }]);
  });
});

describe("ids", () => {
  test.each([
    ["a".repeat(128)],
    ["ä".repeat(127)],
    [`${"😀".repeat(42)}${"a".repeat(86)}`], // 128 characters, 170 units of UTF-16, 254 bytes
    ["a/b/c.jpg"],
    [".hidden"],
    ["..."],
    ["a b"],
    ["C:x"],
    ["%2e%2e"],
    ["__proto__"],
    ["metadata.json"],
  ])("%p is accepted", (id) => expectAccepted(withIds(id)));

  test.each([
    ["", "must not be empty"],
    ["a".repeat(129), "must be at most 128 characters"],
    ["😀".repeat(64), "must be at most 255 bytes of UTF-8"],
    ["ä".repeat(128), "must be at most 255 bytes of UTF-8"],
    ["/a", "must not start or end with '/' or contain '//'"],
    ["a/", "must not start or end with '/' or contain '//'"],
    ["a//b", "must not start or end with '/' or contain '//'"],
    ["..", "must not contain a '.' or '..' segment"],
    ["a/../b", "must not contain a '.' or '..' segment"],
    ["./a", "must not contain a '.' or '..' segment"],
    ["a\\b", "must not contain control characters or backslashes"],
    ["a\u0000", "must not contain control characters or backslashes"],
    ["a\u0085b", "must not contain control characters or backslashes"],
  ])("%j is refused", (id, message) => expectViolation(withIds(id), "/resources/0/id", message));

  test("no id is a duplicate", () => {
    expectViolation(withIds("a", "b", "a"), "/resources/2/id", "is also the id of /resources/0");
  });

  test("no id is a folder of another, in either order and at any depth", () => {
    expectViolation(withIds("a", "a/b"), "/resources/1/id", "lies under the id of /resources/0");
    expectViolation(withIds("a/b/c", "a"), "/resources/0/id", "lies under the id of /resources/1");
    expectViolation(withIds("a/b/c", "a/b"), "/resources/0/id", "lies under the id of /resources/1");
    expectAccepted(withIds("a", "a.b", "ab/c", "ab/d", "A/a"));
  });

  test("an id that the object store cannot hold is refused", () => {
    expectViolation(withIds("a:b"), "/resources/0/id", "must not contain ':'", {
      refusesKey: (key) => (key.includes(":") ? "must not contain ':'" : undefined),
    });
  });
});

test("there are at most as many resources as configured", () => {
  expect(violationsOf(() => parse(withIds("a", "b"), { maxResources: 2 }))).toEqual([]);
  expectViolation(withIds("a", "b", "c"), "/resources", "must have at most 2 elements, has 3", { maxResources: 2 });
});

describe("storage", () => {
  const withStorage = (storage: object, id = "a.jpg") => manifestWith({ id }, { storage });

  test.each([[{}], [{ bucket: "other" }], [{ resource_key_prefix: "a/" }], [{ manifest_file: "m.json" }]])(
    "%j is accepted",
    (storage) => expectAccepted(withStorage(storage)),
  );

  test.each<[object, string, string]>([
    [{ bucket: "secret-bucket" }, "bucket", '"secret-bucket" is not a bucket that manifests may name'],
    [{ bucket: "x".repeat(500) }, "bucket", `"${"x".repeat(99)}…" is not a bucket that manifests may name`],
    [{ resource_key_prefix: "" }, "resource_key_prefix", "must end in '/'"],
    [{ resource_key_prefix: "a" }, "resource_key_prefix", "must end in '/'"],
    [{ resource_key_prefix: "/" }, "resource_key_prefix", "must not be '/' alone"],
    [
      { resource_key_prefix: "manifests/" },
      "resource_key_prefix",
      "must not begin with 'manifests/', which is reserved for the default keys",
    ],
    [
      { resource_key_prefix: "resources/a/" },
      "resource_key_prefix",
      "must not begin with 'resources/', which is reserved for the default keys",
    ],
    [{ resource_key_prefix: "../" }, "resource_key_prefix", "must not contain a '.' or '..' segment"],
    [{ resource_key_prefix: "a//" }, "resource_key_prefix", "must not start or end with '/' or contain '//'"],
    [{ resource_key_prefix: "/a/" }, "resource_key_prefix", "must not start or end with '/' or contain '//'"],
    [{ resource_key_prefix: `${"ä".repeat(256)}/` }, "resource_key_prefix", "must be at most 512 bytes of UTF-8"],
    [{ manifest_file: "" }, "manifest_file", "must not be empty"],
    [{ manifest_file: ".." }, "manifest_file", "must not contain a '.' or '..' segment"],
    [{ manifest_file: "a/b" }, "manifest_file", "must be one segment, without '/'"],
    [{ manifest_file: "ä".repeat(128) }, "manifest_file", "must be at most 255 bytes of UTF-8"],
  ])("%j is refused", (storage, field, message) => {
    expectViolation(withStorage(storage), `/storage/${field}`, message);
  });

  test("a prefix of 512 bytes is accepted", () => {
    expectAccepted(withStorage({ resource_key_prefix: `${"ä".repeat(255)}a/` }));
  });

  test("the manifest object is in no resource's way", () => {
    const is = '"m.json", the name of the manifest object';
    expectViolation(withStorage({ manifest_file: "m.json" }, "m.json"), "/resources/0/id", `is ${is}`);
    expectViolation(withStorage({ manifest_file: "m.json" }, "m.json/x"), "/resources/0/id", `lies under ${is}`);
    const byDefault = '"metadata.json", the name of the manifest object';
    const prefix = { resource_key_prefix: "p/" };
    expectViolation(withStorage(prefix, "metadata.json"), "/resources/0/id", `is ${byDefault}`);
    expectViolation(withStorage(prefix, "metadata.json/1"), "/resources/0/id", `lies under ${byDefault}`);
    expectAccepted(withStorage({ ...prefix, manifest_file: "m.json" }, "metadata.json"));
    expectAccepted(withStorage({}, "metadata.json"));
  });
});

describe("URLs", () => {
  const longest = `https://example.com/${"a".repeat(2028)}`;

  test.each([
    ["http://example.com"],
    ["HTTPS://EXAMPLE.com/a?b#c"],
    ["https://user:pass@example.com/"],
    ["http://8.8.8.8:81/"],
    ["http://[2606:4700::1111]/"],
    ["https://例え.jp/ü"],
    [longest],
  ])("%s is accepted", (url) => expectAccepted(manifestWith({ url })));

  const ABSOLUTE = "must be an absolute http: or https: URL";
  const BLANKS = "must not contain spaces or control characters; percent-encode them";
  const closed = (reason: string) =>
    `must not point to an address that the egress policy denies (${reason}, which egress.allow_private can open)`;
  test.each([
    ["", ABSOLUTE],
    ["/a.jpg", ABSOLUTE],
    ["//example.com/a", ABSOLUTE],
    ["example.com", ABSOLUTE],
    ["ftp://example.com/", ABSOLUTE],
    ["file:///etc/passwd", ABSOLUTE],
    ["data:text/plain,x", ABSOLUTE],
    ["http:example.com", ABSOLUTE],
    ["http:/example.com", ABSOLUTE],
    ["http:///example.com", ABSOLUTE],
    ["http:\\\\example.com", ABSOLUTE],
    ["http://", ABSOLUTE],
    ["http://?x", ABSOLUTE],
    ["http://@/", "is not a valid URL"],
    ["http://:80/", "is not a valid URL"],
    ["http://exa%00mple.com/", "is not a valid URL"],
    ["http://example.com:65536/", "is not a valid URL"],
    ["http://[::1/", "is not a valid URL"],
    [" http://example.com", BLANKS],
    ["http://example.com/a b", BLANKS],
    ["http://exam\tple.com/", BLANKS],
    ["ht\ntp://example.com/", BLANKS],
    ["http://example.com/\r\nX: y", BLANKS],
    ["http://example.com/\u0000", BLANKS],
    ["http://example.com/\u0085", BLANKS],
    ["http://127.0.0.1/", closed("loopback")],
    ["http://127.1/", closed("loopback")],
    ["http://2130706433/", closed("loopback")],
    ["http://0x7f.0.0.1/", closed("loopback")],
    ["http://①②⑦.0.0.1/", closed("loopback")],
    ["http://127.0.0.1.:80/", closed("loopback")],
    ["http://[::ffff:127.0.0.1]/", closed("loopback")],
    ["http://user@169.254.169.254/latest", closed("instance metadata")],
    ["http://[fd00:ec2::254]/", closed("instance metadata")],
    ["http://[64:ff9b::a00:1]/", closed("private use")],
    [`${longest}a`, "must be at most 2048 characters"],
    ["x".repeat(1_000_000), "must be at most 2048 characters"],
  ])("%j is refused", (url, message) => expectViolation(manifestWith({ url }), "/resources/0/url", message));

  test("an address that the configuration opens is accepted", () => {
    const { deniesLiteral } = createEgressPolicy({ allowPrivate: ["127.0.0.0/8"] });
    expect(violationsOf(() => parse(manifestWith({ url: "http://127.0.0.1:9/" }), { deniesLiteral }))).toEqual([]);
  });
});

describe("headers", () => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`X-${at}`, "v"]));

  test.each<[object]>([
    [{}],
    [many(10)],
    [{ Referer: "https://example.com", Cookie: "a=b", Authorization: "Bearer x", "X-Empty": "" }],
    [{ "!#$%&'*+-.^_`|~09aZ": "a\tb é \u00ff" }],
    [{ "X-Long": "é".repeat(1024) }],
  ])("%j are accepted", (headers) => expectAccepted(manifestWith({ headers })));

  const OURS = "name 1: must not be set: FetchBox sets it itself";
  const WHOLE = "name 1: must not be set: FetchBox stores resources whole and as they are served";
  const CONTROL = "must not contain CR, LF, NUL or other control characters";
  test.each<[Record<string, string>, string, string]>([
    [many(11), "", "must have at most 10 headers, has 11"],
    ...["Host", "CONTENT-LENGTH", "transfer-encoding", "Connection", "Upgrade", "TE", "Trailer", "Proxy-Foo"].map(
      (name): [Record<string, string>, string, string] => [{ [name]: "x" }, `/${name}`, OURS],
    ),
    [{ Range: "bytes=0-1" }, "/Range", WHOLE],
    [{ "accept-encoding": "br" }, "/accept-encoding", WHOLE],
    [{ "A B": "x" }, "", "name 1: is not a header name (a token of RFC 9110)"],
    [{ "": "x" }, "", "name 1: is not a header name (a token of RFC 9110)"],
    [{ "X:": "x" }, "", "name 1: is not a header name (a token of RFC 9110)"],
    [{ é: "x" }, "", "name 1: is not a header name (a token of RFC 9110)"],
    [{ ["a".repeat(129)]: "x" }, `/${"a".repeat(99)}…`, "name 1: must have a name of at most 128 characters"],
    [{ "X-A": "1", "x-a": "1" }, "/x-a", "is a duplicate; letter case does not matter"],
    [{ "x-a": "1", "X-A": "1" }, "/X-A", "is a duplicate; letter case does not matter"],
    [{ A: "a\r\nB: c" }, "/A", CONTROL],
    [{ A: "a\n" }, "/A", CONTROL],
    [{ A: "\u0000" }, "/A", CONTROL],
    [{ A: "\u001b[0m" }, "/A", CONTROL],
    [{ A: "\u007f" }, "/A", CONTROL],
    [{ A: "日本" }, "/A", "must not contain characters beyond Latin-1; encode them"],
    [{ A: "x".repeat(1025) }, "/A", "must be at most 1024 bytes"],
  ])("%j are refused", (headers, below, message) => {
    expectViolation(manifestWith({ headers }), `/resources/0/headers${below}`, message);
  });

  test("a header named __proto__ is refused", () => {
    const text = `{"manifest_version":"v1","resources":[{"id":"a","url":"${URL_OK}","headers":{"__proto__":"x"}}]}`;
    expect(violationsOf(() => parseText(text)).map(({ path }) => path)).toEqual(["/resources/0/headers/__proto__"]);
  });
});

describe("tags", () => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`t${at}`, "v"]));

  test.each<[object]>([[{}], [many(64)], [{ "any name\n": "any value\u0000 日本" }], [{ a: "ä".repeat(512) }]])(
    "%j are accepted",
    (tags) => expectAccepted(manifestWith({ tags })),
  );

  test.each<[object, string, string]>([
    [many(65), "", "must have at most 64 tags, has 65"],
    [{ "": "x" }, "/", "must have a name of 1 to 128 characters"],
    [{ ["a".repeat(129)]: "x" }, `/${"a".repeat(99)}…`, "must have a name of 1 to 128 characters"],
    [{ a: `${"ä".repeat(512)}a` }, "/a", "must be at most 1024 bytes of UTF-8"],
  ])("%j are refused", (tags, below, message) => {
    expectViolation(manifestWith({ tags }), `/resources/0/tags${below}`, message);
  });
});

describe("checksum, content type and proxy pool", () => {
  const hex = (digits: number) => "aB09".repeat(digits / 4);
  const CHECKSUM = "must be sha256: with 64, sha1: with 40, or md5: with 32 hexadecimal digits";

  test.each<[object]>([
    [{ checksum: `sha256:${hex(64)}` }],
    [{ checksum: `sha1:${hex(40)}` }],
    [{ checksum: `md5:${hex(32)}` }],
    [{ content_type: "*/*" }],
    [{ content_type: "Image/*" }],
    [{ content_type: "*/json" }],
    [{ content_type: "application/vnd.api+json; charset=utf-8" }],
    [{ proxy_pool: "residential-us" }],
  ])("%j is accepted", (resource) => expectAccepted(manifestWith(resource)));

  test.each<[object, string, string]>([
    [{ checksum: "" }, "checksum", CHECKSUM],
    [{ checksum: hex(64) }, "checksum", CHECKSUM],
    [{ checksum: `sha256:${hex(40)}` }, "checksum", CHECKSUM],
    [{ checksum: `sha512:${hex(128)}` }, "checksum", CHECKSUM],
    [{ checksum: `md5:${hex(28)}zzzz` }, "checksum", CHECKSUM],
    [{ checksum: `md5:${hex(32)}\n` }, "checksum", CHECKSUM],
    [{ content_type: "image" }, "content_type", "must be a media type, like image/png or image/*"],
    [{ content_type: "image/png\n" }, "content_type", "must be a media type, like image/png or image/*"],
    [{ content_type: "a/b, c/d" }, "content_type", "must be a media type, like image/png or image/*"],
    [{ content_type: "image/p*" }, "content_type", "must have '*' as a whole half, like image/*"],
    [{ content_type: `a/${"b".repeat(254)}` }, "content_type", "must be at most 255 characters"],
    [{ proxy_pool: "none" }, "proxy_pool", '"none" is not a configured proxy pool'],
  ])("%j is refused", (resource, field, message) => {
    expectViolation(manifestWith(resource), `/resources/0/${field}`, message);
  });
});

test("every violation is listed, of shape and of rules, up to twenty", () => {
  const violations = violationsOf(() =>
    parse({
      manifest_version: "v1",
      storage: { bucket: "x", unknown: 1 },
      resources: [
        { id: 1, url: "ftp://x", wrong: true },
        { url: "http://127.0.0.1/", headers: { Host: "x" }, size: "5" },
      ],
    }),
  );
  expect(violations.map(({ path }) => path).toSorted()).toEqual([
    "/resources/0/id",
    "/resources/0/url",
    "/resources/0/wrong",
    "/resources/1/headers/Host",
    "/resources/1/id",
    "/resources/1/size",
    "/resources/1/url",
    "/storage/bucket",
    "/storage/unknown",
  ]);
  const many = withIds(...Array.from({ length: 100 }, (_, at) => `/${at}`));
  expect(violationsOf(() => parse(many))).toHaveLength(20);
  const unshaped = { manifest_version: "v1", resources: Array.from({ length: 100 }, () => 1) };
  expect(violationsOf(() => parse(unshaped))).toHaveLength(20);
});

test("no answer repeats a secret, or more than 100 characters of a value", () => {
  const secret = "s3cr3t-t0k3n";
  const long = "0123456789".repeat(30);
  const violations = violationsOf(() =>
    parse({
      manifest_version: "v1",
      storage: { bucket: long, [long]: long },
      resources: [
        {
          id: long,
          url: `http://${secret}:${secret}@127.0.0.1/`,
          headers: { Authorization: `${secret}\n`, [`Cookie: ${secret}`]: 1 },
          tags: { [long]: long.repeat(5) },
          proxy_pool: long,
        },
        { id: "b", url: `http://${secret}@ x`, headers: { [`X: ${secret}`]: secret } },
      ],
    }),
  );
  const told = JSON.stringify(violations);
  expect(violations.length).toBeGreaterThan(7);
  expect(told).not.toContain(secret);
  expect(told).not.toContain(long.slice(0, 101));
});

describe("attributes of the objects", () => {
  const withStorage = (storage: object) => manifestWith({}, { storage });
  const tagsOf = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, "v"]));

  test.each<[object]>([
    [{ metadata: { album: "2026", "x-1": "Grüße\n", empty: "" } }],
    [{ metadata: {}, tags: {} }],
    [{ metadata: { a: "v".repeat(1535) } }],
    [{ metadata: { a: "ä".repeat(255) } }],
    [{ tags: tagsOf(10) }],
    [{ tags: { ["é 1+-=._:/@".padEnd(128, "x")]: "ü".repeat(256), e: "" } }],
    [{ class: "STANDARD" }],
    [{ class: "EXPRESS_ONEZONE" }],
    [{ class: "X".repeat(32) }],
  ])("%j is accepted", (storage) => expectAccepted(withStorage(storage)));

  test.each<[object, string, string]>([
    [{ metadata: [] }, "/metadata", "must be an object, is an array"],
    [{ metadata: { a: 1 } }, "/metadata/a", "must be a string, is a number"],
    [{ metadata: { A: "x" } }, "/metadata/A", "must be named by 1 to 128 of a-z, 0-9 and '-'"],
    [{ metadata: { "": "x" } }, "/metadata/", "must be named by 1 to 128 of a-z, 0-9 and '-'"],
    [{ metadata: { "a\r\nb": "x" } }, "/metadata/a\r\nb", "must be named by 1 to 128 of a-z, 0-9 and '-'"],
    [{ metadata: { "fetchbox-job": "x" } }, "/metadata/fetchbox-job", "must not be set: FetchBox sets it itself"],
    [{ metadata: { "upload-token": "x" } }, "/metadata/upload-token", "must not be set: FetchBox sets it itself"],
    [
      { metadata: { a: "v".repeat(1536) } },
      "/metadata",
      "must have at most 1536 bytes of names and encoded values, has 1537",
    ],
    [
      { metadata: { a: "ä".repeat(256) } },
      "/metadata",
      "must have at most 1536 bytes of names and encoded values, has 1537",
    ],
    [{ tags: tagsOf(11) }, "/tags", "must have at most 10 tags, has 11"],
    [{ tags: { "": "x" } }, "/tags/", "must have a name of 1 to 128 characters"],
    [{ tags: { "aws:a": "x" } }, "/tags/aws:a", "must have another name"],
    [{ tags: { "a&b": "x" } }, "/tags/a&b", "must be named by letters, digits, spaces and + - = . _ : / @ alone"],
    [{ tags: { a: "x&y=z" } }, "/tags/a", "must be of letters, digits, spaces and + - = . _ : / @ alone"],
    [{ tags: { a: "x".repeat(257) } }, "/tags/a", "must be at most 256 characters"],
    [
      { tags: Object.fromEntries(Object.keys(tagsOf(3)).map((name) => [name, "é".repeat(256)])) },
      "/tags",
      "must have at most 4096 bytes when percent-encoded",
    ],
    [{ tags: { a: null } }, "/tags/a", "must be a string, is null"],
    [{ class: "standard" }, "/class", "must be a storage class like \"STANDARD_IA\": 1 to 32 of A-Z, 0-9 and '_'"],
    [{ class: "" }, "/class", "must be a storage class like \"STANDARD_IA\": 1 to 32 of A-Z, 0-9 and '_'"],
    [{ class: "X".repeat(33) }, "/class", "must be a storage class like \"STANDARD_IA\": 1 to 32 of A-Z, 0-9 and '_'"],
    [{ class: 1 }, "/class", "must be a string, is a number"],
  ])("%j is refused", (storage, path, message) => expectViolation(withStorage(storage), `/storage${path}`, message));

  test("a tag named __proto__ is refused", () => {
    const text = `{"manifest_version":"v1","storage":{"tags":{"__proto__":"x"}},"resources":[{"id":"a","url":"${URL_OK}"}]}`;
    expect(violationsOf(() => parseText(text))).toEqual([
      { path: "/storage/tags/__proto__", message: "must have another name" },
    ]);
  });

  test("several violations are listed at once", () => {
    const storage = { metadata: { A: "x", B: "y" }, tags: { "?": "x" }, class: "?" };
    expect(violationsOf(() => parse(withStorage(storage))).map(({ path }) => path)).toEqual([
      "/storage/metadata/A",
      "/storage/metadata/B",
      "/storage/tags/?",
      "/storage/class",
    ]);
  });
});
