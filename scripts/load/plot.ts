/** Draws samples of a run as SVG: `bun scripts/load/plot.ts SAMPLES.json > soak.svg`. */
import { readFileSync } from "node:fs";
import type { Sample } from "./samples.ts";

const CHARTS: readonly (readonly [Exclude<keyof Sample, "at">, string])[] = [
  ["rss_mib", "memory (RSS), MiB"],
  ["descriptors", "open descriptors"],
  ["wal_mib", "logs of the three stores (WAL), MiB"],
  ["loop_lag_ms", "mean delay of the event loop, ms"],
];
const [WIDTH, HEIGHT, LEFT, GAP] = [720, 110, 56, 46];

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: bun scripts/load/plot.ts SAMPLES.json");
const samples = JSON.parse(readFileSync(file, "utf8")) as Sample[];
const minutes = (samples.at(-1)?.at ?? 0) / 60;
const total = CHARTS.length * (HEIGHT + GAP) + 20;
const parts = CHARTS.map(([name, title], i) =>
  chart(
    title,
    samples.map((sample) => sample[name]),
    i * (HEIGHT + GAP) + 24,
  ),
);
console.log(
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + 20} ${total}" font-family="sans-serif" font-size="12">
<title>A run of ${minutes.toFixed(0)} minutes</title>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join("\n")}
<text x="${LEFT}" y="${total - 6}" fill="#555">0 min</text>
<text x="${LEFT + WIDTH}" y="${total - 6}" text-anchor="end" fill="#555">${minutes.toFixed(0)} min</text>
</svg>`,
);

function chart(title: string, values: readonly number[], top: number): string {
  const most = niceAbove(Math.max(...values));
  const x = (i: number) => LEFT + (i / Math.max(1, values.length - 1)) * WIDTH;
  const y = (value: number) => top + HEIGHT - (value / most) * HEIGHT;
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return `<text x="${LEFT}" y="${top - 8}" font-weight="bold">${title}</text>
<path d="M${LEFT} ${top}V${top + HEIGHT}H${LEFT + WIDTH}" fill="none" stroke="#999"/>
<text x="${LEFT - 6}" y="${top + 8}" text-anchor="end" fill="#555">${most}</text>
<text x="${LEFT - 6}" y="${top + HEIGHT}" text-anchor="end" fill="#555">0</text>
<polyline points="${points}" fill="none" stroke="#0a6" stroke-width="1.5"/>`;
}

/** The next of 1, 2, 5, 10, 20 … above a value. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-3)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= value) ?? 10 * power;
}
