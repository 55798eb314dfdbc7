import { expect, test } from "bun:test";
import { manifestsOf, parseList, sharedManifestKey, withPlaces } from "../../src/console/parts/list-file.ts";

const A = "https://a.example/x/a.jpg";
const B = "https://b.example/a.jpg?q=1";

test("URLs one a line get ids from their last parts, and comments and empty lines are left out", () => {
  expect(parseList(`# pictures\n${A}\n\n${B}\r\n`)).toEqual({
    resources: [
      { id: "a.jpg", url: A },
      { id: "2-a.jpg", url: B },
    ],
    places: ["Line 2", "Line 4"],
    violations: [],
    members: {},
  });
});

test("columns of CSV and TSV become fields of the resources", () => {
  const resources = [{ id: 'say "hi", ok', url: A, size: 12 }];
  expect(parseList(`id,url,size\n"say ""hi"", ok",${A},12\n`).resources).toEqual(resources);
  expect(parseList(`url\tid\tsize\n${A}\tsay "hi", ok\t12\n`).resources).toEqual(resources);
});

test("an empty cell keeps its column, also as the first or the last of a line", () => {
  expect(parseList(`id,url,size\n,${A},\n,${B},7\n`)).toEqual({
    resources: [
      { id: "a.jpg", url: A },
      { id: "2-a.jpg", url: B, size: 7 },
    ],
    places: ["Line 2", "Line 3"],
    violations: [],
    members: {},
  });
});

test("NDJSON and a manifest keep the fields of their resources", () => {
  const resource = { id: "a", url: A, headers: { Referer: "https://a.example/" } };
  expect(parseList(`${JSON.stringify(resource)}\n{"url":"${B}"}\n`).resources).toEqual([
    resource,
    { id: "a.jpg", url: B },
  ]);
  const manifest = { manifest_version: "v1", resources: [resource] };
  expect(parseList(JSON.stringify(manifest, null, 2)).resources).toEqual([resource]);
});

test("a violation has the number of its line", () => {
  expect(parseList(`${A}\njavascript:alert(1)\n\nnot a URL`).violations).toEqual([
    { place: "Line 2", message: "the URL is not an absolute http or https URL" },
    { place: "Line 4", message: "the URL is not an absolute http or https URL" },
  ]);
  expect(parseList(`{"url":"${A}","id":"a"}\n{"url":\n{"id":"b"}\n{"url":"${B}","id":"a"}`).violations).toEqual([
    { place: "Line 2, column 8", message: "the text is not valid JSON: expected a value, found the end" },
    { place: "Line 3", message: "the URL is missing" },
    { place: "Line 4", message: "another resource has the same id" },
  ]);
});

test("a message about a part of the list names the places of the text", () => {
  const list = parseList(`${A}\n\n${B}\n`);
  expect(withPlaces("invalid: /resources/0/url: not allowed", list, 1)).toBe("invalid: Line 3 (url): not allowed");
  expect(withPlaces("/resources/0: unknown; /resources/7/id: bad", list, 0)).toBe(
    "Line 1: unknown; /resources/7/id: bad",
  );
});

test("resources are split into manifests that the service takes", () => {
  const list = parseList(Array.from({ length: 5 }, (_, at) => `https://a.example/${at}`).join("\n"));
  const { resources } = list;
  expect(manifestsOf(list, { sizeMax: 2, priority: "" })).toEqual([
    { manifest_version: "v1", resources: resources.slice(0, 2) },
    { manifest_version: "v1", resources: resources.slice(2, 4) },
    { manifest_version: "v1", resources: resources.slice(4) },
  ]);
});

test("each part of a manifest keeps its other members, and a chosen priority replaces that of the manifest", () => {
  const members = {
    manifest_version: "v1",
    storage: { bucket: "b", resource_key_prefix: "x/" },
    metadata: { order: 4711 },
    attributes: { priority: "low", later: true },
    callback: "https://a.example/",
  };
  const list = parseList(JSON.stringify({ ...members, resources: [{ url: A }, { url: B }] }));
  expect(list).toMatchObject({ violations: [], members });
  const [first, second] = list.resources;
  expect(manifestsOf(list, { sizeMax: 1, priority: "" })).toEqual([
    { ...members, resources: [first] },
    { ...members, resources: [second] },
  ]);
  expect(manifestsOf(list, { sizeMax: 2, priority: "high" })).toEqual([
    { ...members, attributes: { priority: "high", later: true }, resources: [first, second] },
  ]);
  expect(manifestsOf(parseList(A), { sizeMax: 2, priority: "high" })).toMatchObject([
    { manifest_version: "v1", attributes: { priority: "high" } },
  ]);
});

test("several jobs that would write one manifest object are known by its key", () => {
  const members = { storage: { resource_key_prefix: "x/" } };
  expect(sharedManifestKey(members, 2)).toBe("x/metadata.json");
  expect(sharedManifestKey({ storage: { ...members.storage, manifest_file: "m.json" } }, 2)).toBe("x/m.json");
  expect(sharedManifestKey(members, 1)).toBeUndefined();
  expect(sharedManifestKey({ storage: { manifest_file: "m.json" } }, 2)).toBeUndefined();
});

test("a broken manifest has one violation with its line and column, not one for each line", () => {
  const text = JSON.stringify({ manifest_version: "v1", resources: [{ url: A }, { url: B }] }, null, 2);
  const [head = "", ...rest] = text.split("},\n");
  expect(parseList(`${head}}\n${rest.join("},\n")}`)).toMatchObject({
    resources: [],
    violations: [{ place: "Line 7, column 5", message: "the text is not valid JSON: expected ',' or ']'" }],
  });
  expect(parseList(text.slice(0, -3)).violations).toHaveLength(1);
  expect(parseList(`{"resources":[{"url":"${A}",}]}`).violations).toMatchObject([{ place: "Line 1, column 50" }]);
});

test("a manifest without a list, and resources that are no objects, are violations", () => {
  expect(parseList('{"manifest_version": "v1"}').violations).toEqual([
    { place: "The manifest", message: "it has no list `resources`" },
  ]);
  expect(parseList(`{"resources": [null, {"url": "${A}"}, "${B}"]}`)).toMatchObject({
    resources: [{ url: A }],
    violations: [
      { place: "Resource 1", message: "it is not a JSON object" },
      { place: "Resource 3", message: "it is not a JSON object" },
    ],
  });
  // One resource over several lines is no manifest, but a list of one.
  expect(parseList(JSON.stringify({ id: "a", url: A }, null, 2)).resources).toEqual([{ id: "a", url: A }]);
});
