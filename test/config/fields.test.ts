import { expect, test } from "bun:test";
import { formatSize, parseSize } from "../../src/config/field.ts";
import { formatBindAddress, parseBindAddress } from "../../src/config/values/bind-address.ts";
import { bucketNameProblem, widerBucketNameProblem } from "../../src/config/values/name-rules.ts";
import { formatProxyEndpoint, parseProxyEndpoint } from "../../src/config/values/proxy-endpoint.ts";
import { parseS3Endpoint } from "../../src/config/values/service-url.ts";
import { suggest } from "../../src/std/suggest.ts";
import { createProject, onlyProblem } from "./project.ts";

test.each([
  ["5MiB", 5_242_880],
  ["10GiB", 10_737_418_240],
  ["512KB", 512_000],
  ["1 kib", 1024],
  ["7b", 7],
  ["1048576", 1_048_576],
  [0, 0],
  [123, 123],
])("the size %p is %d bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "MiB", "5 foo", "-1", "1.5GiB", "1e3", "5  MiB", "5MiB ", "9999999999TiB", "0x10", -1, 1.5, Number.NaN])(
  "%p is no size",
  (text) => {
    expect(() => parseSize(text)).toThrow("must be a size");
  },
);

test("a size that is written reads back as itself", () => {
  for (const bytes of [0, 1, 1000, 1024, 1536, 5 * 2 ** 20, 10 * 2 ** 30, 5 * 2 ** 40, 2 ** 53 - 1]) {
    expect(parseSize(formatSize(bytes))).toBe(bytes);
  }
  expect(formatSize(5 * 2 ** 20)).toBe("5MiB");
});

test.each([
  ["127.0.0.1:8080", "127.0.0.1", 8080],
  ["0.0.0.0:0", "0.0.0.0", 0],
  ["[::1]:8080", "::1", 8080],
  ["localhost:65535", "localhost", 65_535],
])("%s is an address to listen on", (text, host, port) => {
  expect(parseBindAddress(text)).toEqual({ host, port });
  expect(formatBindAddress(parseBindAddress(text))).toBe(text);
});

test.each([
  "",
  "8080",
  ":8080",
  "127.0.0.1",
  "127.0.0.1:",
  "127.0.0.1:65536",
  "::1:8080",
  "[127.0.0.1]:1",
  "[]:1",
  "[::1]",
  "example.com:80",
  "1.2.3:1",
  "http://127.0.0.1:1",
  "127.0.0.1:80 ",
])("%p is no address to listen on", (text) => {
  expect(() => parseBindAddress(text)).toThrow("must");
});

test.each(["abc", "a.b-c", "1bucket9", "x".repeat(63)])("%s is a bucket's name", (name) => {
  expect(bucketNameProblem(name)).toBeUndefined();
});

test.each([
  "",
  "ab",
  "x".repeat(64),
  "Abc",
  "a_b",
  "-abc",
  "abc-",
  ".abc",
  "a..b",
  "192.168.0.1",
  "a/b",
  "../a",
  "abc\n",
])("%p is no bucket's name", (name) => {
  expect(bucketNameProblem(name)).toContain("bucket name");
});

test.each(["abc", "Old_Bucket", "a_-", "x".repeat(255)])("%s is the name of an older bucket elsewhere", (name) => {
  expect(widerBucketNameProblem(name)).toBeUndefined();
});

test.each(["", "ab", "x".repeat(256), "_abc", ".abc", "A..b", "192.168.0.1", "a/b", "abc\n", "ä-bucket"])(
  "%p is no bucket's name anywhere",
  (name) => {
    expect(widerBucketNameProblem(name)).toContain("bucket name");
  },
);

test.each(["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "fd00::/8", "::/0", "::1/128"])("%s is a network", (text) => {
  using project = createProject(`egress.allow_private = ["${text}"]`);
  expect(project.load().egress.allow_private).toEqual([text]);
});

test.each([
  "",
  "/",
  "10.0.0.0",
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0.0/-1",
  "10.0.0/8",
  "fd00::/129",
  "10.0.0.0/8/8",
  " 10.0.0.0/8",
])("%p is no network", (text) => {
  expect(onlyProblem(`egress.allow_private = ["${text}"]`)).toContain("egress.allow_private[0]: must be a network");
});

test.each([
  ["http://proxy-b:8080", "http", "http://proxy-b:8080", "proxy-b", 8080],
  ["http://Proxy-B:80/", "http", "http://proxy-b", "proxy-b", 80],
  ["HTTPS://proxy", "https", "https://proxy", "proxy", 443],
  ["https://proxy:80", "https", "https://proxy:80", "proxy", 80],
  ["https://[::1]:3128/", "https", "https://[::1]:3128", "::1", 3128],
  ["socks5://proxy", "socks5", "socks5://proxy", "proxy", 1080],
  ["socks5://proxy:1080", "socks5", "socks5://proxy", "proxy", 1080],
  ["socks5://PROXY:80", "socks5", "socks5://proxy:80", "proxy", 80],
  ["SOCKS5://[2001:db8::1]:443", "socks5", "socks5://[2001:db8::1]:443", "2001:db8::1", 443],
  ["socks5://127.1:9050/", "socks5", "socks5://127.0.0.1:9050", "127.0.0.1", 9050],
  ["socks5://b\u00fccher.test", "socks5", "socks5://xn--bcher-kva.test", "xn--bcher-kva.test", 1080],
] as const)("%s is a proxy's address", (text, kind, url, host, port) => {
  const endpoint = parseProxyEndpoint(text);
  expect(endpoint).toEqual({ kind, url, host, port, credentials: undefined });
  expect(formatProxyEndpoint(endpoint)).toBe(url);
});

test.each(["https", "socks5"])("a proxy's address is split from its credentials (%s)", (scheme) => {
  const endpoint = parseProxyEndpoint(`${scheme}://us%40er:p%3Aw@[::1]:3128/`);
  expect(endpoint.url).toBe(`${scheme}://[::1]:3128`);
  expect(endpoint.credentials?.username.reveal()).toBe("us@er");
  expect(endpoint.credentials?.password.reveal()).toBe("p:w");
  expect(formatProxyEndpoint(endpoint)).toBe(`${scheme}://***@[::1]:3128`);
});

test("credentials for SOCKS fit into its one byte of length", () => {
  const parse = (user: string, password: string, scheme = "socks5") =>
    parseProxyEndpoint(`${scheme}://${user}:${password}@p:1`).credentials;
  const fits = encodeURIComponent(`${"\u00fc".repeat(127)}x`);
  expect(parse(fits, fits)?.password.reveal().length).toBe(128);
  expect(parse("user", "")?.password.reveal()).toBe("");
  for (const [user = "", password = ""] of [
    [`${fits}x`, "p"],
    ["u", `${fits}x`],
    ["", "p"],
  ]) {
    expect(() => parse(user, password)).toThrow("a user of 1 to 255 bytes");
    expect(parse(user, password, "http")).toBeDefined();
  }
});

test.each([
  "",
  "proxy:8080",
  "ftp://p:1",
  "http://",
  "http:///p:1",
  "http:\\\\p:1",
  "http://p:1/path",
  "http://p:1?q",
  "http://p:1#f",
  "http://p:99999",
  "http://p:0",
  "http://a b:1",
  "socks5://",
  "socks5:p:1",
  "socks5:///p:1",
  "socks5://p:1/path",
  "socks5://p:1?q",
  "socks5://p:1:1",
  "socks5://user@",
])("%p is no proxy's address", (text) => {
  expect(() => parseProxyEndpoint(text)).toThrow("must be a proxy's address");
});

test.each(["socks5h://p:1", "socks4://p:1", "socks4a://p:1", "SOCKS://p:1"])("%s is refused for socks5://", (text) => {
  expect(() => parseProxyEndpoint(text)).toThrow("must begin with socks5://");
});

test("an S3 endpoint is an origin, one with a path, or empty", () => {
  const texts = ["", "http://127.0.0.1:9000/", "https://s3.example.com", "https://host/s3/pre-fix/"];
  expect(texts.map(parseS3Endpoint)).toEqual([
    "",
    "http://127.0.0.1:9000",
    "https://s3.example.com",
    "https://host/s3/pre-fix",
  ]);
  const wrong = ["s3.example.com", "ftp://x", "https://x?q=1", "https://x/#f", "https://k:s@x", "https://x//a"];
  for (const text of [...wrong, "https://x/a b", "https://x/a%2Fb"]) {
    expect(() => parseS3Endpoint(text)).toThrow("must");
  }
});

test("a mistyped word finds the one that was meant, a strange one nothing", () => {
  const known = ["workers", "max_retries", "path"];
  expect(suggest("worker", known)).toBe("workers");
  expect(suggest("max_retires", known)).toBe("max_retries");
  expect(suggest("PATH", known)).toBe("path");
  expect(suggest("colour", known)).toBeUndefined();
  expect(suggest("x", known)).toBeUndefined();
});
