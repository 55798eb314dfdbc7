/**
 * A small origin to try FetchBox on: good, redirected, large, checksummed, flaky and failing resources.
 * Alone: `bun scripts/sample-origin.ts [port]`.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";

const MIB = 2 ** 20;
const LARGE_BYTES = 64 * MIB;
const CHUNK = new Uint8Array(MIB).map((_, i) => (i * 31) & 0xff);
const POEM = "I am the book that nobody has read,\nkept whole in a store, my sum in the ledger.\n";

export interface SampleOrigin {
  readonly url: string;
  /** A manifest of everything that it serves. */
  readonly manifest: object;
  stop(): void;
}

/** Serves on a loopback port; 0 lets the system choose. */
export async function startSampleOrigin(port: number): Promise<SampleOrigin> {
  let knocks = 0;
  const server = createServer((request, response) => {
    switch (request.url) {
      case "/poem.txt":
        return void response.writeHead(200, { "content-type": "text/plain" }).end(POEM);
      case "/old-address":
        return void response.writeHead(302, { location: "/poem.txt" }).end();
      case "/large.bin":
        response.writeHead(200, { "content-length": LARGE_BYTES });
        return void largeBody().pipe(response);
      case "/unknown-length.bin":
        return void largeBody().pipe(response);
      case "/flaky.txt": // fails at first, as real ones do
        return void (++knocks % 2 === 1 ? response.writeHead(503).end("not now") : response.end("well then\n"));
      default:
        return void response.writeHead(404).end("there is no such thing");
    }
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    manifest: manifestOf(url),
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function manifestOf(url: string): object {
  const checksum = `sha256:${createHash("sha256").update(POEM).digest("hex")}`;
  return {
    manifest_version: "v1",
    metadata: { about: "the sample of the README" },
    resources: [
      { id: "good/poem.txt", url: `${url}/poem.txt`, content_type: "text/*" },
      { id: "redirected/poem.txt", url: `${url}/old-address` },
      { id: "checksummed/poem.txt", url: `${url}/poem.txt`, checksum, size: POEM.length },
      { id: "large.bin", url: `${url}/large.bin`, size: LARGE_BYTES },
      { id: "unknown-length.bin", url: `${url}/unknown-length.bin` },
      { id: "flaky.txt", url: `${url}/flaky.txt` },
      { id: "missing.txt", url: `${url}/missing.txt` },
    ],
  };
}

/** 64 MiB at about 40 MiB/s, so that there is something to watch. */
function largeBody(): Readable {
  return Readable.from(
    (async function* () {
      for (let sent = 0; sent < LARGE_BYTES; sent += CHUNK.length) {
        await Bun.sleep(25);
        yield CHUNK;
      }
    })(),
  );
}

if (import.meta.main) {
  const origin = await startSampleOrigin(Number(process.argv[2] ?? 0));
  console.log(JSON.stringify(origin.manifest, null, 2));
}
