import { describe, expect, test } from "bun:test";
import { createExpansion } from "../../src/intake/expand.ts";
import { IntakeError } from "../../src/intake/intake-error.ts";
import type { JobStorage } from "../../src/intake/job-storage.ts";
import { LIMITS } from "./manifests.ts";

const STORAGE: JobStorage = {
  bucket: "artifacts",
  resourceKeyPrefix: "resources/default/j1/",
  manifest: { bucket: "artifacts", key: "manifests/default/j1/metadata.json" },
};
const SPEC = { resourceId: "a.jpg", url: "https://example.com/a.jpg" };
const start = (storage = STORAGE) => createExpansion({ storage }, { limits: LIMITS });

function refusalOf(spec: unknown, expansion = start()): string {
  try {
    expansion.resolve(spec);
    return "none";
  } catch (error) {
    if (!(error instanceof IntakeError) || error.code !== "HANDLER_ERROR") throw error;
    return error.message;
  }
}

test("a task goes where the job's resources go", () => {
  expect(start().resolve(SPEC)).toEqual({ ...SPEC, bucket: "artifacts", key: "resources/default/j1/a.jpg" });
});

test("a task may choose its own bucket and key", () => {
  const task = start().resolve({ ...SPEC, bucket: "other", key: "x/y" });
  expect(task).toEqual({ ...SPEC, bucket: "other", key: "x/y" });
});

test("a task has the object attributes of its job, whatever its key", () => {
  const attributes = { metadata: { album: "2026" }, tags: { a: "b" }, class: "STANDARD_IA" };
  const expansion = start({ ...STORAGE, attributes });
  expect(expansion.resolve({ ...SPEC, key: "x/y" }).attributes).toEqual(attributes);
  expect(expansion.place({ ...SPEC, resourceId: "b" }).attributes).toEqual(attributes);
});

test("a full spec becomes a task, with its digest in lower case and without undefined members", () => {
  const full = {
    ...SPEC,
    headers: { A: "b" },
    tags: { c: "d" },
    checksum: `sha1:${"AB".repeat(20)}`,
    size: 7,
    contentType: "image/*",
    rejectHtml: true,
    proxyPool: "residential-us",
  };
  const task = start().resolve({ ...full, key: undefined });
  expect(task).toEqual({
    ...full,
    checksum: `sha1:${"ab".repeat(20)}`,
    bucket: "artifacts",
    key: "resources/default/j1/a.jpg",
  });
});

test("a task keeps the checked values, whatever the handler does to its spec afterwards", () => {
  const spec = { ...SPEC, headers: { A: "b" } };
  const task = start().resolve(spec);
  spec.headers.A = "c\r\n";
  expect(task.headers).toEqual({ A: "b" });
});

describe("an invalid spec is the handler's error, which names the resource and the violations", () => {
  const of = (what: string) => `the handler yielded ${what} that is invalid: `;
  const cases: [unknown, string][] = [
    [undefined, `${of("a task without resourceId")}must be an object, is undefined`],
    [null, `${of("a task without resourceId")}must be an object, is null`],
    ["x", `${of("a task without resourceId")}must be an object, is a string`],
    [[SPEC], `${of("a task without resourceId")}must be an object, is an array`],
    [{ url: SPEC.url }, `${of("a task without resourceId")}/resourceId is required`],
    [{ resourceId: "a" }, `${of('the task of resource "a"')}/url is required`],
    [{ ...SPEC, url: new URL(SPEC.url) }, `${of('the task of resource "a.jpg"')}/url must be a string, is an object`],
    [{ ...SPEC, content_type: "x" }, `${of('the task of resource "a.jpg"')}/content_type is an unknown field`],
    [
      { ...SPEC, size: Number.NaN },
      `${of('the task of resource "a.jpg"')}/size must be a whole number from 0 to ${2 ** 53 - 1}`,
    ],
    [
      { ...SPEC, size: 1n },
      `${of('the task of resource "a.jpg"')}/size must be a whole number from 0 to ${2 ** 53 - 1}`,
    ],
    [{ ...SPEC, headers: new Headers() }, `${of('the task of resource "a.jpg"')}/headers must be a plain object`],
    [{ ...SPEC, tags: new Map() }, `${of('the task of resource "a.jpg"')}/tags must be a plain object`],
    [{ ...SPEC, headers: { A: 1 } }, `${of('the task of resource "a.jpg"')}/headers/A must be a string, is a number`],
    [
      { ...SPEC, headers: { Host: "x" } },
      `${of('the task of resource "a.jpg"')}/headers/Host name 1: must not be set: FetchBox sets it itself`,
    ],
    [
      { ...SPEC, resourceId: "../a" },
      `${of('the task of resource "../a"')}/resourceId must not contain a '.' or '..' segment`,
    ],
    [{ ...SPEC, bucket: "b" }, `${of('the task of resource "a.jpg"')}/bucket is not an allowed bucket`],
    [{ ...SPEC, proxyPool: "p" }, `${of('the task of resource "a.jpg"')}/proxyPool is not a configured proxy pool`],
    [{ ...SPEC, key: "../x" }, `${of('the task of resource "a.jpg"')}its key must not contain a '.' or '..' segment`],
    [{ ...SPEC, key: "" }, `${of('the task of resource "a.jpg"')}its key must not be empty`],
    [{ ...SPEC, key: "ä".repeat(513) }, `${of('the task of resource "a.jpg"')}its key must be at most 1024 bytes`],
    [
      { ...SPEC, url: "file:///etc/passwd", checksum: "x", contentType: "x" },
      `${of('the task of resource "a.jpg"')}/url must be an absolute http: or https: URL; ` +
        "/checksum must be sha256: with 64, sha1: with 40, or md5: with 32 hexadecimal digits; " +
        "/contentType must be a media type, like image/png or image/*",
    ],
  ];
  test.each(cases.map(([spec, message]): [string, unknown] => [message, spec]))("%s", (message, spec) => {
    expect(refusalOf(spec)).toBe(message);
  });

  test("a lone surrogate in an id", () => {
    expect(refusalOf({ ...SPEC, resourceId: "a\ud800" })).toContain("must not contain a lone surrogate");
  });
});

describe("two tasks of a job must not conflict", () => {
  const second = (first: object, then: object): string => {
    const expansion = start();
    expansion.resolve({ ...SPEC, resourceId: "1", ...first });
    return refusalOf({ ...SPEC, resourceId: "2", ...then }, expansion).replace(/^.*invalid: /, "");
  };

  test.each<[object, object, string]>([
    [{ resourceId: "2" }, {}, "has the id of an earlier task"],
    [{ key: "k" }, { key: "k" }, "has the key of an earlier task, or of the manifest object"],
    [{ key: "k" }, { key: "k/l" }, "has a key that lies under an earlier task's key"],
    [{ key: "k/l/m" }, { key: "k" }, "has a key that is a folder of an earlier task's key"],
    [{ key: "resources/default/j1/2" }, {}, "has the key of an earlier task, or of the manifest object"],
    [
      {},
      { key: STORAGE.manifest.key },
      "its key must not begin with 'manifests/', which is reserved for the default keys",
    ],
    [
      {},
      { key: `${STORAGE.manifest.key}/x` },
      "its key must not begin with 'manifests/', which is reserved for the default keys",
    ],
    [{}, { key: "manifests" }, "its key must not begin with 'manifests/', which is reserved for the default keys"],
    [{}, { key: "resources" }, "its key must not begin with 'resources/', which is reserved for the default keys"],
    [
      {},
      { key: "resources/default/j2/1" },
      "its key must not begin with 'resources/', which is reserved for the default keys",
    ],
    [{}, { key: "resources/default/j1/of/our/own" }, "none"],
    [{}, { key: "my/resources/1" }, "none"],
    [{}, { key: "resources-of-mine/1" }, "none"],
    [{ key: "k" }, { key: "k", bucket: "other" }, "none"],
    [{ key: "k/a" }, { key: "k/b" }, "none"],
    [{}, {}, "none"],
  ])("%j, then %j", (first, then, message) => {
    expect(second(first, then)).toBe(message);
  });

  test("a task that was refused takes no place", () => {
    const expansion = start();
    expect(refusalOf({ ...SPEC, key: "a/../b" }, expansion)).not.toBe("none");
    expect(refusalOf(SPEC, expansion)).toBe("none");
  });
});

test("a key that the object store cannot hold is the handler's error", () => {
  const expansion = createExpansion(
    { storage: STORAGE },
    { limits: { ...LIMITS, refusesKey: () => "must be shorter" } },
  );
  expect(refusalOf(SPEC, expansion)).toEndWith("must be shorter");
});
