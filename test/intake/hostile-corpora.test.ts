import { describe, expect, test } from "bun:test";
import { createExpansion } from "../../src/intake/expand.ts";
import { createDefaultHandler } from "../../src/intake/handlers/default-handler.ts";
import { IntakeError } from "../../src/intake/intake-error.ts";
import { jobStorage } from "../../src/intake/job-storage.ts";
import { type ParsedManifest, parseManifest } from "../../src/intake/manifest/manifest.ts";
import { encodeStoredManifest } from "../../src/intake/manifest/stored-manifest.ts";
import type { Task } from "../../src/jobs/task.ts";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { corpusBytes, corpusFiles, corpusLines } from "../support/corpus.ts";
import { LIMITS, manifestWith, parse } from "./manifests.ts";

const SUITE = "JSONTestSuite/test_parsing";
const JOB = { jobId: "j1", jobType: "default", tenant: "default", bucket: "artifacts", createdAt: 0 };
const HANDLER = { defaultHeaders: {}, options: {} };

/** The whole way through intake: the task and the manifest object that a manifest of one resource becomes. */
function through(parsed: ParsedManifest): { task: Task; stored: { resources: unknown[]; metadata: unknown } } {
  const storage = jobStorage(parsed.manifest, JOB);
  const context = { ...JOB, traceId: "0".repeat(32), priority: "normal", storage, handler: HANDLER } as const;
  const [spec] = [...createDefaultHandler().tasks(parsed.manifest, context)].flat();
  const stored = new TextDecoder("utf-8", { fatal: true }).decode(encodeStoredManifest(parsed, JOB));
  return { task: createExpansion({ storage }, { limits: LIMITS }).resolve(spec), stored: JSON.parse(stored) };
}

/** The manifest, or nothing where it is refused as a client's mistake; anything else is thrown on. */
function accepted(read: () => ParsedManifest): ParsedManifest | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof IntakeError) || error.code !== "INVALID_PAYLOAD") throw error;
    expect(error.details?.length).toBeGreaterThan(0);
    for (const { message } of error.details ?? []) expect(message).not.toBe("");
    return undefined;
  }
}

function concat(...parts: (string | Uint8Array)[]): Uint8Array {
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}

const RESOURCES = '"resources":[{"id":"a.jpg","url":"https://example.com/a.jpg"}]';

describe("JSONTestSuite", () => {
  test("no file of a corpus is a manifest, and text that is not JSON is refused as such", async () => {
    for (const file of corpusFiles(SUITE)) {
      const bytes = await corpusBytes(`${SUITE}/${file}`);
      let refusal: unknown;
      try {
        parseManifest(bytes, LIMITS);
      } catch (error) {
        refusal = error;
      }
      if (!(refusal instanceof IntakeError)) throw new Error(`${file}: ${String(refusal)}`);
      expect(refusal.code).toBe("INVALID_PAYLOAD");
      const isNoJson = /not valid JSON|not valid UTF-8|byte order mark/.test(refusal.details?.[0]?.message ?? "");
      if (file.startsWith("n_")) expect([file, isNoJson]).toEqual([file, true]);
      if (file.startsWith("y_")) expect([file, isNoJson]).toEqual([file, false]);
    }
  });

  test("as metadata, each valid object is stored verbatim, and any other text is refused", async () => {
    let passed = 0;
    for (const file of corpusFiles(SUITE)) {
      const bytes = await corpusBytes(`${SUITE}/${file}`);
      const body = concat('{"manifest_version":"v1","metadata":', bytes, `,${RESOURCES}}`);
      const parsed = accepted(() => parseManifest(body, LIMITS));
      if (parsed === undefined) continue;
      passed += 1;
      const text = new TextDecoder().decode(bytes).trim();
      expect(file).toStartWith("y_object");
      expect(parsed.metadataText).toBe(text);
      expect(through(parsed).stored.metadata).toEqual(JSON.parse(text));
    }
    if (corpusFiles(SUITE).length > 0) expect(passed).toBeGreaterThan(8);
  });

  test("as id, as tag and deep inside metadata, each either passes whole or is refused", async () => {
    for (const file of corpusFiles(SUITE)) {
      const bytes = await corpusBytes(`${SUITE}/${file}`);
      const asTag = concat(
        '{"manifest_version":"v1","resources":[{"id":"a","url":"https://example.com/","tags":{"t":',
        bytes,
        "}}]}",
      );
      const tagged = accepted(() => parseManifest(asTag, LIMITS));
      if (tagged !== undefined) {
        expect(through(tagged).task.tags).toEqual({ t: JSON.parse(new TextDecoder().decode(bytes)) });
      }
      const deep = concat('{"manifest_version":"v1","metadata":{"x":[', bytes, `]},${RESOURCES}}`);
      const stored = accepted(() => parseManifest(deep, LIMITS));
      if (stored !== undefined) {
        expect(stored.metadataText).toBe(`{"x":[${new TextDecoder().decode(bytes)}]}`);
      }
      const text = new TextDecoder().decode(bytes);
      const asId = accepted(() => parse(manifestWith({ id: text })));
      if (asId !== undefined) expect(through(asId).task.resourceId).toBe(text);
    }
  });
});

test("naughty strings come through intake exactly, or are refused", async () => {
  const strings: unknown = JSON.parse((await corpusLines("naughty-strings/blns.json")).join("\n") || "[]");
  if (!Array.isArray(strings)) throw new Error("blns.json is not an array");
  let passed = 0;
  for (const naughty of strings.map(String)) {
    const places = [
      { id: naughty },
      { tags: { [`k${naughty}`]: naughty } },
      { headers: { "X-Naughty": naughty } },
      { headers: { [naughty]: "x" } },
      { content_type: naughty },
      { checksum: naughty },
    ];
    for (const place of places) {
      const parsed = accepted(() => parse(manifestWith(place)));
      if (parsed === undefined) continue;
      passed += 1;
      const { task, stored } = through(parsed);
      if (place.id !== undefined)
        expect([task.resourceId, task.key]).toEqual([naughty, `resources/default/j1/${naughty}`]);
      if (place.tags !== undefined) expect<unknown>(task.tags).toEqual(place.tags);
      if (place.headers !== undefined) expect<unknown>(task.headers).toEqual(place.headers);
      expect(stored.resources[0]).toEqual({ id: "a.jpg", url: "https://example.com/a.jpg", ...place });
    }
    const metadata = { [naughty]: naughty };
    expect(through(parse(manifestWith({}, { metadata }))).stored.metadata).toEqual(metadata);
  }
  if (strings.length > 0) expect(passed).toBeGreaterThan(strings.length);
});

test("no URL made for request forgery gets past the egress policy as an address", async () => {
  const policy = createEgressPolicy({ allowPrivate: [] });
  const lines = [
    ...(await corpusLines("payloads-all-the-things/ssrf-urls.txt")),
    ...(await corpusLines("payloads-all-the-things/open-redirect.txt")),
  ];
  for (const line of lines) {
    const parsed = accepted(() => parse(manifestWith({ url: line })));
    if (parsed === undefined) continue;
    const url = new URL(through(parsed).task.url);
    expect(["http:", "https:"]).toContain(url.protocol);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const isAddress = /^[\d.]+$/.test(host) || host.includes(":");
    expect([line, isAddress ? policy.denies(host) : undefined]).toEqual([line, undefined]);
    expect(host).not.toMatch(/^(?:127|10|0|169\.254|192\.168)\.[\d.]+$/);
  }
});

test("no id, prefix or manifest name made for traversal leads out of its folder", async () => {
  const lines = [
    ...(await corpusLines("payloads-all-the-things/directory-traversal.txt")),
    ...(await corpusLines("payloads-all-the-things/traversal-exotic-encoding.txt")),
  ];
  for (const line of lines) {
    const inside = (key: string, root: string) => {
      const { pathname } = new URL(`file:///root/${key.split("/").map(encodeURIComponent).join("/")}`);
      expect([line, pathname.startsWith(`/root/${root}`)]).toEqual([line, true]);
      expect([line, key.split("/").some((segment) => ["", ".", ".."].includes(segment))]).toEqual([line, false]);
    };
    const byId = accepted(() => parse(manifestWith({ id: line })));
    if (byId !== undefined) inside(through(byId).task.key, "resources/default/j1/");
    const byPrefix = accepted(() => parse(manifestWith({}, { storage: { resource_key_prefix: `p/${line}/` } })));
    if (byPrefix !== undefined) inside(through(byPrefix).task.key, "p/");
    const byName = accepted(() => parse(manifestWith({}, { storage: { manifest_file: line } })));
    if (byName !== undefined) inside(jobStorage(byName.manifest, JOB).manifest.key, "manifests/default/j1/");
  }
});

test("no line made to inject a header gets into one, decoded or not", async () => {
  const lines = await corpusLines("payloads-all-the-things/crlf-injection.txt");
  const variants = lines.flatMap((line) => [
    line,
    line.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
  ]);
  for (const value of variants) {
    const parsed = accepted(() => parse(manifestWith({ headers: { "X-Test": value } })));
    expect([value, parsed !== undefined]).toEqual([
      value,
      !/[\r\n\0]/.test(value) && !/[^\t -\u00ff]|\u007f/.test(value),
    ]);
    expect(accepted(() => parse(manifestWith({ headers: { [`X-Test: ${value}`]: "x" } })))).toBeUndefined();
    const url = accepted(() => parse(manifestWith({ url: `https://example.com${value}` })));
    if (url !== undefined) expect(through(url).task.url).not.toMatch(/[\r\n]/);
  }
});
