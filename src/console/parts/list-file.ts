/** One row of a list of downloads: a resource of a manifest. */
export interface ListedResource {
  readonly id: string;
  readonly url: string;
  readonly [field: string]: unknown;
}

/** A violation in a list, with the number of its line. */
export interface ListViolation {
  readonly line: number;
  readonly message: string;
}

interface ParsedList {
  readonly resources: readonly ListedResource[];
  readonly violations: readonly ListViolation[];
}

interface Row {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

const ID_MAX = 128;
const VIOLATIONS_MAX = 100;

/** Reads URLs one a line, a manifest, CSV or TSV with a header, or NDJSON. The service judges the resources itself. */
export function parseList(text: string): ParsedList {
  const violations: ListViolation[] = [];
  const report = (line: number, message: string) => {
    if (violations.length < VIOLATIONS_MAX) violations.push({ line, message });
  };
  const used = new Set<string>();
  const freeId = idMaker(used);
  const resources = rowsOf(text, report).flatMap(({ line, fields }) => {
    const url = typeof fields["url"] === "string" ? fields["url"].trim() : "";
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
      report(line, url === "" ? "the row has no URL" : "the URL is not an absolute http or https URL");
      return [];
    }
    const given = fields["id"];
    const id = typeof given === "string" && given !== "" ? given : freeId(url);
    if (used.has(id)) {
      report(line, "another row has the same id");
      return [];
    }
    used.add(id);
    return [{ ...fields, id, url }];
  });
  return { resources, violations };
}

/** Splits resources into manifests that the service takes. */
export function manifestsOf(resources: readonly ListedResource[], sizeMax: number): object[] {
  const parts = Math.ceil(resources.length / sizeMax);
  return Array.from({ length: parts }, (_, part) => ({
    manifest_version: "v1",
    resources: resources.slice(part * sizeMax, (part + 1) * sizeMax),
  }));
}

function rowsOf(text: string, report: (line: number, message: string) => void): Row[] {
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) {
    const manifest = parsed(trimmed) as { resources?: Row["fields"][] } | undefined;
    // A manifest; else each line is an object of its own.
    if (Array.isArray(manifest?.resources)) return manifest.resources.map((fields, at) => ({ line: at + 1, fields }));
    return ndjsonRows(text, report);
  }
  const lines = text.split(/\r?\n/).map((content, at) => ({ line: at + 1, content }));
  const filled = lines.filter(({ content }) => content.trim() !== "" && !content.startsWith("#"));
  const [head] = filled;
  if (head === undefined) return [];
  const separator = head.content.includes("\t") ? "\t" : ",";
  const names = cells(head.content, separator).map((name) => name.trim().toLowerCase());
  if (!names.includes("url")) return filled.map(({ line, content }) => ({ line, fields: { url: content.trim() } }));
  return filled.slice(1).map(({ line, content }) => {
    const values = cells(content, separator);
    const pairs = names.flatMap((name, at) => (values[at] ? [[name, valueOf(name, values[at])]] : []));
    return { line, fields: Object.fromEntries(pairs) as Row["fields"] };
  });
}

function ndjsonRows(text: string, report: (line: number, message: string) => void): Row[] {
  return text.split(/\r?\n/).flatMap((content, at) => {
    if (content.trim() === "") return [];
    const fields = parsed(content);
    if (typeof fields === "object" && fields !== null) return [{ line: at + 1, fields: fields as Row["fields"] }];
    report(at + 1, "the line is not a JSON object");
    return [];
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
