import { ftruncateSync, openSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * The origin, a process of its own: `/BYTES/DELAY_MS/anything` answers with so many bytes after so long, others with
 * 404. `/BYTES/DELAY_MS/close/anything` closes the connection, too, and `/BYTES/DELAY_MS/chunked/anything` declares no
 * length. `FILE.pem` and `FILE.key` as arguments: TLS. With
 * `--all-addresses` each address of 127.0.0.0/8 is a host of its own.
 */
const args = process.argv.slice(2);
const hostname = args.includes("--all-addresses") ? "0.0.0.0" : "127.0.0.1";
const [certificate, key] = args.filter((arg) => !arg.startsWith("--")).map((path) => Bun.file(path));
const CHUNK = new Uint8Array(1 << 20).map((_, at) => (at * 31) & 255);
const bodies = new Map<number, Uint8Array>();
const files = new Map<number, Bun.BunFile>();

/** Small bodies are sent whole; large ones come from a file, so that none lies in memory. */
function bodyOf(bytes: number): Uint8Array | Bun.BunFile {
  if (bytes > CHUNK.length) return fileOf(bytes);
  const known = bodies.get(bytes) ?? CHUNK.slice(0, bytes);
  bodies.set(bytes, known);
  return known;
}

/** A file with holes for contents, which has no name any more: it ends with the process. */
function fileOf(bytes: number): Bun.BunFile {
  const known = files.get(bytes);
  if (known !== undefined) return known;
  const path = join(tmpdir(), `fetchbox-bench-${process.pid}-${bytes}`);
  const descriptor = openSync(path, "wx");
  ftruncateSync(descriptor, bytes);
  const file = Bun.file(`/proc/self/fd/${descriptor}`);
  unlinkSync(path);
  files.set(bytes, file);
  return file;
}

/** Repetitions of one chunk. */
function stream(bytes: number): ReadableStream {
  let left = bytes;
  return new ReadableStream({
    type: "direct",
    async pull(controller: ReadableStreamDirectController) {
      for (; left > 0; left -= CHUNK.length) {
        void controller.write(left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left));
        await controller.flush();
      }
      controller.close();
    },
  } as unknown as ConstructorParameters<typeof ReadableStream>[0]);
}

const { port } = Bun.serve({
  port: 0,
  hostname,
  idleTimeout: 120,
  ...(certificate && key && { tls: { cert: certificate, key } }),
  async fetch({ url }) {
    const [, bytes, delay = "0", way] = /^\/(\d+)\/(\d+)\/(?:(close|chunked)\/)?/.exec(new URL(url).pathname) ?? [];
    if (bytes === undefined) return new Response(null, { status: 404 });
    if (delay !== "0") await Bun.sleep(Number(delay));
    const body = way === "chunked" ? stream(Number(bytes)) : bodyOf(Number(bytes));
    return new Response(body, way === "close" ? { headers: { connection: "close" } } : {});
  },
});
process.stdout.write(`${port}\n`);
