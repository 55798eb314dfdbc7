/**
 * Reads the XML that S3 answers with: elements without attributes that matter, no CDATA, no comments.
 * Nothing is ever expanded beyond the five entities and character references.
 */

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The text of the first element of that name, or `undefined`. */
export function textOf(xml: string, name: string): string | undefined {
  const start = xml.indexOf(`<${name}>`);
  if (start < 0) return undefined;
  const from = start + name.length + 2;
  const end = xml.indexOf(`</${name}>`, from);
  return end < 0 ? undefined : unescape(xml.slice(from, end));
}

/** The inner XML of every element of that name. */
export function* elementsOf(xml: string, name: string): Generator<string> {
  const open = `<${name}>`;
  const close = `</${name}>`;
  for (let from = xml.indexOf(open); from >= 0; ) {
    const end = xml.indexOf(close, from);
    if (end < 0) return;
    yield xml.slice(from + open.length, end);
    from = xml.indexOf(open, end);
  }
}

/** Text as the content of an element. */
export function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function unescape(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi, (whole, hex, decimal, entity) => {
    if (entity !== undefined) return ENTITIES[entity] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
