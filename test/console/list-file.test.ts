import { expect, test } from "bun:test";
import {
  type ListedResource,
  manifestsOf,
  type ParsedList,
  parseList,
  sharedManifestKey,
  withPlaces,
} from "../../src/console/parts/lists/list-file.ts";

const A = "https://a.example/x/a.jpg";
const B = "https://b.example/a.jpg?q=1";

/** The fields of the resources as the service gets them. */
function fieldsOf({ resources }: ParsedList): unknown[] {
  return resources.map(({ source }) => JSON.parse(source) as unknown);
}

/** The manifests as the service reads them. */
function readManifests(list: ParsedList, options: { sizeMax: number; priority: string }): unknown[] {
  return manifestsOf(list, options).map((text) => JSON.parse(text) as unknown);
}

const listed = (id: string, url: string): ListedResource => ({ id, url, source: JSON.stringify({ url, id }) });
const ANY_LIST = { violations: [], members: {}, manifest: '{"manifest_version":"v1"}' };

test("URLs one a line get ids from their last parts, and comments and empty lines are left out", () => {
  expect(parseList(`# pictures\n${A}\n\n${B}\r\n`)).toEqual({
    ...ANY_LIST,
    array: undefined,
    resources: [listed("a.jpg", A), listed("2-a.jpg", B)],
    places: ["Line 2", "Line 4"],
  });
});

test("columns of CSV and TSV become fields of the resources", () => {
  const resources = [{ id: 'say "hi", ok', url: A, size: 12 }];
  expect(fieldsOf(parseList(`id,url,size\n"say ""hi"", ok",${A},12\n`))).toEqual(resources);
  expect(fieldsOf(parseList(`url\tid\tsize\n${A}\tsay "hi", ok\t12\n`))).toEqual(resources);
});

test("an empty cell keeps its column, also as the first or the last of a line", () => {
  const list = parseList(`id,url,size\n,${A},\n,${B},7\n`);
  expect(list).toMatchObject({ ...ANY_LIST, places: ["Line 2", "Line 3"] });
  expect(fieldsOf(list)).toEqual([
    { id: "a.jpg", url: A },
    { id: "2-a.jpg", url: B, size: 7 },
  ]);
});

test("NDJSON and a manifest keep the fields of their resources", () => {
  const resource = { id: "a", url: A, headers: { Referer: "https://a.example/" } };
  expect(fieldsOf(parseList(`${JSON.stringify(resource)}\n{"url":"${B}"}\n`))).toEqual([
    resource,
    { id: "a.jpg", url: B },
  ]);
  const manifest = { manifest_version: "v1", resources: [resource] };
  expect(fieldsOf(parseList(JSON.stringify(manifest, null, 2)))).toEqual([resource]);
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
  const resources = fieldsOf(list);
  expect(readManifests(list, { sizeMax: 2, priority: "" })).toEqual([
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
  const [first, second] = fieldsOf(list);
  expect(readManifests(list, { sizeMax: 1, priority: "" })).toEqual([
    { ...members, resources: [first] },
    { ...members, resources: [second] },
  ]);
  expect(readManifests(list, { sizeMax: 2, priority: "high" })).toEqual([
    { ...members, attributes: { priority: "high", later: true }, resources: [first, second] },
  ]);
  expect(readManifests(parseList(A), { sizeMax: 2, priority: "high" })).toMatchObject([
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
  expect(fieldsOf(parseList(JSON.stringify({ id: "a", url: A }, null, 2)))).toEqual([{ id: "a", url: A }]);
});

/** JSON that would be another text after it was parsed and written again. */
const METADATA = '{ "n": 12345678901234567890, "x": 1.0, "e": 1e3, "o": {"2":1, "1":2}, "u": "\\u00e9" }';

test("a manifest that fits in one job is sent as the text that was pasted", () => {
  const text = `{"metadata": ${METADATA},\n "manifest_version":"v1", "resources": [ {"url":"${A}", "id":"a", "size": 1.0} ]}`;
  for (const pasted of [text, `\uFEFF${text}\n`]) {
    expect(manifestsOf(parseList(pasted), { sizeMax: 1, priority: "" })).toEqual([text]);
  }
  expect(manifestsOf(parseList(text), { sizeMax: 1, priority: "low" })).toEqual([
    `${text.slice(0, -1)},"attributes":{"priority":"low"}}`,
  ]);
});

test("a priority that was chosen replaces nothing but that of the manifest", () => {
  const manifest = (attributes: string) =>
    `{"manifest_version":"v1","attributes":${attributes},"metadata":${METADATA},"resources":[{"id":"a","url":"${A}"}]}`;
  for (const [before, after] of [
    ['{ "priority": "high", "later": 1.0 }', '{ "priority": "low", "later": 1.0 }'],
    ['{ "later": 1.0 }', '{ "later": 1.0,"priority":"low" }'],
    ["{}", '{"priority":"low"}'],
    ["null", '{"priority":"low"}'],
  ] as const) {
    const [sent] = manifestsOf(parseList(manifest(before)), { sizeMax: 1, priority: "low" });
    expect(sent).toBe(manifest(after));
  }
});

test("the parts of a large manifest have the pasted texts of its members and resources", () => {
  const [first, second] = [`{ "size": 1e3, "url":"${A}", "id":"a" }`, `{"id":"b","size":2.0,"url":"${B}"}`];
  const manifest = (resources: string) => `{"manifest_version":"v1","resources":${resources},"metadata":${METADATA}}`;
  const list = parseList(manifest(`[\n${first},\n${second}\n]`));
  expect(manifestsOf(list, { sizeMax: 1, priority: "" })).toEqual([manifest(`[${first}]`), manifest(`[${second}]`)]);
});

test("only a missing id, the blanks of a URL and a missing version are changed in the text", () => {
  const resource = `{ "url": " ${A} ", "size": 1e3 }`;
  const sent = `{ "url": "${A}", "size": 1e3,"id":"a.jpg" }`;
  const options = { sizeMax: 9, priority: "" };
  expect(manifestsOf(parseList(`{"metadata":${METADATA},"resources":[${resource}]}`), options)).toEqual([
    `{"metadata":${METADATA},"resources":[${sent}],"manifest_version":"v1"}`,
  ]);
  // NDJSON, an array, and a single resource.
  for (const text of [`${resource}\n${resource.replace("{", '{ "id":"b",')}`, `[${resource}]`, resource]) {
    expect(manifestsOf(parseList(text), options)[0]).toStartWith(`{"manifest_version":"v1","resources":[${sent}`);
  }
});

test("a duplicate name is a violation with its line and column", () => {
  const message = "the name is a duplicate; names must be unique within an object";
  const resources = `"resources":[{"id":"a","url":"${A}"}]`;
  for (const [text, place] of [
    [`{"manifest_version":"v1",\n${resources},\n ${resources}}`, "Line 3, column 2"],
    [`{"metadata":{"a":1,"b":[{"a":1}],"\\u0061":2},${resources}}`, "Line 1, column 34"],
    [`{"resources":[{"id":"a",\n"url":"${A}","url":"${B}"}]}`, `Line 2, column ${A.length + 10}`],
    [`{"url":"${A}"}\n{"id":"x","id":"y","url":"${B}"}`, "Line 2, column 11"],
  ] as const) {
    expect([text, parseList(text).violations]).toEqual([text, [{ place, message }]]);
  }
});

test("an array of resource objects is a list", () => {
  const resource = { id: "a", url: A, size: 7 };
  const list = parseList(JSON.stringify([resource, { url: B }], null, 2));
  expect(list).toMatchObject({ ...ANY_LIST, places: ["Resource 1", "Resource 2"] });
  expect(fieldsOf(list)).toEqual([resource, { id: "a.jpg", url: B }]);
  expect(parseList(`["${A}"]`).violations).toEqual([{ place: "Resource 1", message: "it is not a JSON object" }]);
  expect(parseList(`[{"url":"${A}"},]`).violations).toMatchObject([{ place: `Line 1, column ${A.length + 13}` }]);
});

test("a list without resources is a violation that names the next step; an empty text is none", () => {
  const empty = 'it has no resources; add at least one, like {"url": "https://…"}';
  const header = "the header has no rows below it; add a line for each resource";
  for (const [text, place, message] of [
    ["[]", "The list", empty],
    ['{"manifest_version":"v1","resources":[]}', "The manifest", empty],
    ["id,url\n", "Line 1", header],
    ["# pictures\nurl\tid", "Line 2", header],
    ["# pictures\n", "The list", "it has only comments; add URLs, one a line"],
  ] as const) {
    expect([text, parseList(text)]).toMatchObject([text, { resources: [], violations: [{ place, message }] }]);
  }
  expect(parseList(" \n").violations).toEqual([]);
});
