import { expect, test } from "bun:test";
import { manifestsOf, parseList } from "../../src/console/parts/list-file.ts";

const A = "https://a.example/x/a.jpg";
const B = "https://b.example/a.jpg?q=1";

test("URLs one a line get ids from their last parts, and comments and empty lines are left out", () => {
  expect(parseList(`# pictures\n${A}\n\n${B}\r\n`)).toEqual({
    resources: [
      { id: "a.jpg", url: A },
      { id: "2-a.jpg", url: B },
    ],
    violations: [],
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
    violations: [],
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
    { line: 2, message: "the URL is not an absolute http or https URL" },
    { line: 4, message: "the URL is not an absolute http or https URL" },
  ]);
  expect(parseList(`{"url":"${A}","id":"a"}\n{"url":\n{"id":"b"}\n{"url":"${B}","id":"a"}`).violations).toEqual([
    { line: 2, message: "the line is not a JSON object" },
    { line: 3, message: "the row has no URL" },
    { line: 4, message: "another row has the same id" },
  ]);
});

test("resources are split into manifests that the service takes", () => {
  const { resources } = parseList(Array.from({ length: 5 }, (_, at) => `https://a.example/${at}`).join("\n"));
  expect(manifestsOf(resources, 2)).toEqual([
    { manifest_version: "v1", resources: resources.slice(0, 2) },
    { manifest_version: "v1", resources: resources.slice(2, 4) },
    { manifest_version: "v1", resources: resources.slice(4) },
  ]);
});
