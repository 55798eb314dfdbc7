const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["tb", 1e12],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30],
  ["tib", 2 ** 40],
]);

/** Bytes of a size: `5MiB` (powers of 1024), `512KB` (powers of 1000) or a number of bytes. Throws on anything else. */
export function parseSize(size: string | number): number {
  const match = /^(\d{1,16}) ?([a-z]{0,3})$/i.exec(String(size));
  const unit = UNITS.get(match?.[2]?.toLowerCase() ?? "none");
  const bytes = unit === undefined ? Number.NaN : Number(match?.[1]) * unit;
  if (!Number.isSafeInteger(bytes)) throw new Error('must be a size like "5MiB", "512KB" or a number of bytes');
  return bytes;
}

/** The shortest way to write a number of bytes that `parseSize` reads back as the same number. */
export function formatSize(bytes: number): string {
  for (const [unit, name] of [
    [2 ** 40, "TiB"],
    [2 ** 30, "GiB"],
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit}${name}`;
  }
  return `${bytes}B`;
}
