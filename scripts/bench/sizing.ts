/**
 * The space that FetchBox needs, for docs/operate/sizing.md:
 * `bun scripts/bench/sizing.ts [--parts=stores,transfers,buffers,streams,queue] [--tasks=20000] [--pending=1000000]
 * [--binary=PATH]`. Prints a Markdown table. The figures depend little on the load of the machine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { BenchServers } from "./service.ts";
import { measureBuffers, measureQueue, measureStreams, measureTransfers } from "./sizing-memory.ts";
import { measureStores } from "./sizing-stores.ts";

/** One line of the table. */
export interface Figure {
  readonly what: string;
  readonly value: string;
}

export interface SizingContext {
  readonly binary: string;
  /** For stores and logs; the script removes it at its end. */
  readonly folder: string;
  readonly tasks: number;
  readonly pending: number;
  /** Starts a server of this folder, and says where it answers. */
  readonly serve: (file: string, ...args: readonly string[]) => Promise<string>;
}

const { values } = parseArgs({
  options: {
    parts: { type: "string", default: "stores,transfers,buffers,streams,queue" },
    tasks: { type: "string", default: "20000" },
    pending: { type: "string", default: "1000000" },
    binary: { type: "string", default: "dist/fetchbox" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "fetchbox-sizing-"));
const servers = new BenchServers();
const context: SizingContext = {
  binary: resolve(values.binary),
  folder,
  tasks: Number(values.tasks),
  pending: Number(values.pending),
  serve: servers.serve,
};

try {
  console.log("| measurement | figure |\n|---|--:|");
  if (values.parts.includes("stores")) await measureStores(context, print);
  if (values.parts.includes("transfers")) await measureTransfers(context, print);
  if (values.parts.includes("buffers")) await measureBuffers(context, print);
  if (values.parts.includes("streams")) await measureStreams(context, print);
  if (values.parts.includes("queue")) await measureQueue(context, print);
} finally {
  servers.stop();
  rmSync(folder, { recursive: true, force: true });
}

function print({ what, value }: Figure): void {
  console.log(`| ${what} | ${value} |`);
}
