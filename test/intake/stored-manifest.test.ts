import { expect, test } from "bun:test";
import { encodeStoredManifest, runInManifest } from "../../src/intake/manifest/stored-manifest.ts";
import { manifestWith, parse, parseText } from "./manifests.ts";

const JOB = { jobId: "0190", jobType: "gallery", tenant: "acme", createdAt: Date.UTC(2026, 10, 24, 3, 4, 5, 6) };
const store = (parsed: ReturnType<typeof parse>): string => new TextDecoder().decode(encodeStoredManifest(parsed, JOB));

test("the manifest object is the manifest and names its job", () => {
  const manifest = manifestWith(
    { tags: { a: "b" }, size: 5, headers: { Referer: "https://example.com" } },
    { storage: { bucket: "other" }, metadata: { a: [1, "x"] }, attributes: { priority: "low" } },
  );
  expect(JSON.parse(store(parse(manifest)))).toEqual({
    ...manifest,
    fetchbox: { job_id: "0190", job_type: "gallery", tenant: "acme", created_at: "2026-11-24T03:04:05.006Z" },
  });
});

test("only the manifest object of a run is marked as one, in its first bytes", () => {
  const bytes = (job: Parameters<typeof encodeStoredManifest>[1], more = {}) =>
    encodeStoredManifest(parse(manifestWith({}, more)), job);
  const longest = "x".repeat(64);
  const run = { ...JOB, jobId: Bun.randomUUIDv7(), jobType: longest, tenant: longest, command: "run" } as const;
  expect(runInManifest(bytes(run))).toBe(run.jobId);
  expect(JSON.parse(new TextDecoder().decode(bytes(run))).fetchbox.command).toBe("run");
  const imitation = { fetchbox: { job_id: "1", command: "run" } };
  expect(runInManifest(bytes(JOB, { metadata: imitation }))).toBeUndefined();
  for (const text of [
    "",
    "{}",
    JSON.stringify(imitation),
    '{"manifest_version":"v1","fetchbox":{x}}',
    "\ufffd\u0000",
  ]) {
    expect(runInManifest(Buffer.from(text))).toBeUndefined();
  }
});

test("a member that the manifest does not have is not in its object", () => {
  expect(Object.keys(JSON.parse(store(parse(manifestWith({})))))).toEqual([
    "manifest_version",
    "fetchbox",
    "resources",
  ]);
});

test("metadata is stored byte for byte, its names and numbers included", () => {
  const metadata = '{ "n": 1.0, "big": 12345678901234567890,\n "\\u0061": "\\/", "__proto__": {"x": 1e2} }';
  const text = `{"metadata": ${metadata} ,"manifest_version":"v1","resources":[{"id":"a","url":"https://example.com/"}]}`;
  expect(store(parseText(text))).toContain(`"metadata":${metadata},`);
});

test("secret headers are masked, whatever their letter case, and the others are not", () => {
  const headers = {
    Authorization: "Bearer s3cret",
    COOKIE: "s3cret",
    "x-api-key": "s3cret",
    "X-Session-Id": "s3cret",
    "My-Auth": "s3cret",
    Referer: "https://e.com",
  };
  const stored = store(parse(manifestWith({ headers })));
  expect(stored).not.toContain("s3cret");
  expect(JSON.parse(stored).resources[0].headers).toEqual({
    Authorization: "***",
    COOKIE: "***",
    "x-api-key": "***",
    "X-Session-Id": "***",
    "My-Auth": "***",
    Referer: "https://e.com",
  });
});

test.each([
  ["https://user:s3cret@example.com/a?b#c", "https://***@example.com/a?b#c"],
  ["HTTP://s3cret@example.com", "HTTP://***@example.com"],
  ["http://a:s3cret@b:s3cret@example.com/", "http://***@example.com/"],
  ["http://example.com/a@b", "http://example.com/a@b"],
  ["http://example.com?a@b", "http://example.com?a@b"],
  ["http://example.com\\a@b", "http://example.com\\a@b"],
])("userinfo of %s is masked and nothing else changes", (url, masked) => {
  expect(JSON.parse(store(parse(manifestWith({ url })))).resources[0].url).toBe(masked);
  // What is masked is what the URL parser takes for userinfo.
  expect(new URL(masked).username).toBe(new URL(url).username === "" ? "" : "***");
  expect(new URL(masked).host).toBe(new URL(url).host);
});

test("the accepted manifest itself is left as it is", () => {
  const parsed = parse(manifestWith({ url: "https://u:p@example.com/", headers: { Cookie: "c" } }));
  store(parsed);
  expect(parsed.manifest.resources[0]).toMatchObject({ url: "https://u:p@example.com/", headers: { Cookie: "c" } });
});
