import { aroundMember, elementTexts, memberText, withMember } from "./json-edit.ts";
import { jsonProblem } from "./json-problem.ts";

/** One row of a list of downloads: a resource of a manifest. */
export interface ListedResource {
  readonly id: string;
  readonly url: string;
  /** The resource as JSON. A pasted one keeps its text: numbers keep their digits. */
  readonly source: string;
}

/** A violation in a list, with its place: `Line 7`, or `Resource 7` of a manifest. */
export interface ListViolation {
  readonly place: string;
  readonly message: string;
}

type Members = Readonly<Record<string, unknown>>;

export interface ParsedList {
  readonly resources: readonly ListedResource[];
  /** The place of each resource in the text. */
  readonly places: readonly string[];
  readonly violations: readonly ListViolation[];
  /** The other members of a pasted manifest; empty for another list. */
  readonly members: Members;
  /** The text of the manifest, without resources. */
  readonly manifest: string;
  /** The pasted array of resources, if the service takes them as they are. */
  readonly array: string | undefined;
}

interface Row {
  readonly place: string;
  readonly fields: Members;
  /** The fields as JSON. */
  readonly source: string;
}

interface Rows {
  readonly rows: readonly Row[];
  readonly members?: Members;
  /** The text that `members` come from. */
  readonly manifest?: string;
  /** The text that `rows` come from. */
  readonly array?: string;
}

type Report = (place: string, message: string) => void;

const ID_MAX = 128;
const VIOLATIONS_MAX = 100;

/**
 * Reads URLs one a line, a manifest, a JSON array of resources, CSV or TSV with a header, or NDJSON. The service judges
 * the resources itself.
 */
export function parseList(text: string): ParsedList {
  const violations: ListViolation[] = [];
  const report: Report = (place, message) => {
    if (violations.length < VIOLATIONS_MAX) violations.push({ place, message });
  };
  const used = new Set<string>();
  const freeId = idMaker(used);
  const { rows, members = {}, manifest = "{}", array } = rowsOf(text.replace(/^\uFEFF/, ""), report);
  const places: string[] = [];
  const resources = rows.flatMap(({ place, fields, source }) => {
    const url = typeof fields["url"] === "string" ? fields["url"].trim() : "";
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
      report(place, url === "" ? "the URL is missing" : "the URL is not an absolute http or https URL");
      return [];
    }
    const given = fields["id"];
    const id = typeof given === "string" && given !== "" ? given : freeId(url);
    if (used.has(id)) {
      report(place, "another resource has the same id");
      return [];
    }
    used.add(id);
    places.push(place);
    return [{ id, url, source: sourceWith({ id, url }, fields, source) }];
  });
  return {
    resources,
    places,
    violations,
    members,
    manifest: "manifest_version" in members ? manifest : withMember(manifest, "manifest_version", '"v1"'),
    array: resources.every(({ source }, at) => source === rows[at]?.source) ? array : undefined,
  };
}

/** The JSON of a resource with the wanted fields. It is changed only where it has others. */
function sourceWith(wanted: Readonly<Record<string, string>>, fields: Members, source: string): string {
  return Object.entries(wanted).reduce(
    (changed, [name, value]) => (fields[name] === value ? changed : withMember(changed, name, JSON.stringify(value))),
    source,
  );
}

/** A message of the service about one of the manifests, with the places of the text: `Line 7 (url)`. */
export function withPlaces(message: string, { places }: Pick<ParsedList, "places">, firstResource: number): string {
  return message.replaceAll(/\/resources\/(\d+)(?:\/([\w/]+))?/g, (path: string, at: string, field?: string) => {
    const place = places[firstResource + Number(at)];
    if (place === undefined) return path;
    return field === undefined ? place : `${place} (${field})`;
  });
}

interface SplitOptions {
  /** Most resources of one manifest. */
  readonly sizeMax: number;
  /** Replaces the priority of the list; empty: it stays. */
  readonly priority: string;
}

/**
 * The JSON of the manifests that the service takes. Each of them has the other members of a pasted manifest. They are
 * slices of the pasted text, because `metadata` is stored verbatim.
 */
export function manifestsOf(list: ParsedList, { sizeMax, priority }: SplitOptions): readonly string[] {
  const { resources, array } = list;
  const parts = Math.ceil(resources.length / sizeMax);
  const manifest = priority === "" ? list.manifest : withPriority(list, priority);
  const around = aroundMember(manifest, "resources");
  if (parts === 1 && array !== undefined) return [around.join(array)];
  return Array.from({ length: parts }, (_, part) => {
    const sources = resources.slice(part * sizeMax, (part + 1) * sizeMax).map(({ source }) => source);
    return around.join(`[${sources.join(",")}]`);
  });
}

function withPriority({ manifest, members: { attributes } }: ParsedList, priority: string): string {
  const own = isObject(attributes) ? memberText(manifest, "attributes") : "{}";
  return withMember(manifest, "attributes", withMember(own, "priority", JSON.stringify(priority)));
}

/**
 * The key of the one manifest object that several jobs of a list would all write, below the manifest's own prefix;
 * `undefined` if each job has a key of its own.
 */
export function sharedManifestKey({ storage }: Members, jobs: number): string | undefined {
  if (jobs < 2 || !isObject(storage)) return undefined;
  const { resource_key_prefix: prefix, manifest_file: file = "metadata.json" } = storage;
  return typeof prefix === "string" && typeof file === "string" ? prefix + file : undefined;
}

function rowsOf(text: string, report: Report): Rows {
  const lines = text.split(/\r?\n/).map((content, at) => ({ place: `Line ${at + 1}`, content }));
  const filled = lines.filter(({ content }) => content.trim() !== "");
  const isObjects = text.trimStart().startsWith("{");
  if (isObjects && isNdjson(filled)) return { rows: ndjsonRows(filled, report) };
  if (isObjects || text.trimStart().startsWith("[")) return jsonRows(text, report);
  return { rows: textRows(filled, report) };
}

interface TextLine {
  readonly place: string;
  readonly content: string;
}

/** Whether each line is an object of its own. One broken line does not make the rest a manifest. */
function isNdjson(lines: readonly TextLine[]): boolean {
  return lines.length > 1 && lines.every(({ content }) => content.trim().startsWith("{"));
}

/** The resources of one JSON text: a manifest, an array of resources, or a single resource. */
function jsonRows(text: string, report: Report): Rows {
  const problem = jsonProblem(text);
  if (problem !== undefined) {
    report(`Line ${problem.line}, column ${problem.column}`, problem.message);
    return { rows: [] };
  }
  const value: unknown = JSON.parse(text);
  if (Array.isArray(value)) return elementRows({ owner: "The list", array: text.trim(), values: value }, report);
  const { resources, ...members } = value as Record<string, unknown>;
  if (resources === undefined && "url" in members) {
    return { rows: [{ place: "Line 1", fields: members, source: text.trim() }] };
  }
  if (!Array.isArray(resources)) {
    report("The manifest", "it has no list `resources`");
    return { rows: [] };
  }
  const [head, tail] = aroundMember(text, "resources");
  const array = text.slice(head.length, text.length - tail.length);
  return {
    ...elementRows({ owner: "The manifest", array, values: resources }, report),
    members,
    manifest: `${head}[]${tail}`.trim(),
  };
}

interface Elements {
  readonly owner: string;
  readonly array: string;
  /** The parsed array. */
  readonly values: readonly unknown[];
}

/** The resources in an array. */
function elementRows({ owner, array, values }: Elements, report: Report): Rows {
  if (values.length === 0) report(owner, 'it has no resources; add at least one, like {"url": "https://…"}');
  const sources = elementTexts(array);
  const rows = values.flatMap((fields, at) => {
    const place = `Resource ${at + 1}`;
    if (isObject(fields)) return [{ place, fields, source: sources[at] ?? "" }];
    report(place, "it is not a JSON object");
    return [];
  });
  return { rows, array };
}

function ndjsonRows(lines: readonly TextLine[], report: Report): Row[] {
  return lines.flatMap(({ place, content }) => {
    const problem = jsonProblem(content);
    if (problem === undefined) return [{ place, fields: JSON.parse(content) as Members, source: content.trim() }];
    report(`${place}, column ${problem.column}`, problem.message);
    return [];
  });
}

/** The rows of CSV or TSV with a header, or of URLs one a line. */
function textRows(filled: readonly TextLine[], report: Report): Row[] {
  const lines = filled.filter(({ content }) => !content.startsWith("#"));
  const [head] = lines;
  if (head === undefined) {
    if (filled.length > 0) report("The list", "it has only comments; add URLs, one a line");
    return [];
  }
  const separator = head.content.includes("\t") ? "\t" : ",";
  const names = cells(head.content, separator).map((name) => name.trim().toLowerCase());
  if (!names.includes("url")) return lines.map(({ place, content }) => rowOf(place, { url: content.trim() }));
  if (lines.length === 1) report(head.place, "the header has no rows below it; add a line for each resource");
  return lines.slice(1).map(({ place, content }) => {
    const values = cells(content, separator);
    const pairs = names.flatMap((name, at) => (values[at] ? [[name, valueOf(name, values[at])]] : []));
    return rowOf(place, Object.fromEntries(pairs) as Members);
  });
}

function rowOf(place: string, fields: Members): Row {
  return { place, fields, source: JSON.stringify(fields) };
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The cells of a line of CSV (RFC 4180); a cell with a line break is not supported. */
function cells(line: string, separator: string): string[] {
  if (separator === "\t") return line.split("\t");
  return [...line.matchAll(/(?<=^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain,
  );
}

function valueOf(name: string, text: string): unknown {
  return name === "size" && /^\d+$/.test(text) ? Number(text) : text;
}

/** Makes ids from the last parts of URLs. A number distinguishes equal ones. */
function idMaker(used: ReadonlySet<string>): (url: string) => string {
  const numbers = new Map<string, number>();
  return (url) => {
    const last = new URL(url).pathname.split("/").findLast((part) => part !== "") ?? "resource";
    const name = last
      .replaceAll(/[^A-Za-z0-9._-]/g, "_")
      .replace(/^\.+$/, "resource")
      .slice(-ID_MAX + 10);
    for (let number = numbers.get(name) ?? 1; ; number += 1) {
      const id = number === 1 ? name : `${number}-${name}`;
      if (used.has(id)) continue;
      numbers.set(name, number + 1);
      return id;
    }
  };
}
