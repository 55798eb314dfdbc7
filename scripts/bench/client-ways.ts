import { createHttpClient } from "../../src/http/http-client.ts";
import { systemClock } from "../../src/std/clock.ts";

export type ClientWay = "client" | "fetch" | "client in a thread";

/** GETs a URL of 127.0.0.1 and resolves with the length of its body, which lies in the main thread's memory. */
type FetchOne = (url: string) => Promise<number>;

export function createFetcher(way: ClientWay): FetchOne {
  if (way === "fetch") return async (url) => (await (await fetch(url)).arrayBuffer()).byteLength;
  if (way === "client") {
    const get = createGet();
    return async (url) => (await get(url)).reduce((sum, { length }) => sum + length, 0);
  }
  return createThreadFetcher();
}

const limits = { connectTimeoutMs: 10_000, tlsTimeoutMs: 10_000, tunnelTimeoutMs: 10_000, headTimeoutMs: 30_000 };

/** The body of a URL, chunk by chunk as it came. */
export function createGet(): (url: string) => Promise<Uint8Array[]> {
  const client = createHttpClient({ clock: systemClock, limits: { headBytesMax: 65_536, fieldsMax: 5000 } });
  return async (url) => {
    const { protocol, port, host, pathname } = new URL(url);
    const { body } = await client.send({
      method: "GET",
      target: {
        addresses: ["127.0.0.1"],
        port: Number(port),
        ...(protocol === "https:" && { tls: { serverName: undefined, ca: undefined } }),
      },
      route: { kind: "direct" },
      path: pathname,
      host,
      fields: { Accept: "*/*", "User-Agent": "bench", "Accept-Encoding": "identity" },
      limits,
      signal: new AbortController().signal,
    });
    const chunks: Uint8Array[] = [];
    for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) chunks.push(chunk);
    return chunks;
  };
}

function createThreadFetcher(): FetchOne {
  const worker = new Worker(new URL("client-thread.ts", import.meta.url).href);
  const waiting = new Map<number, (bytes: number) => void>();
  let next = 0;
  worker.onmessage = ({ data: [id, chunks] }: MessageEvent<[number, Uint8Array[]]>) => {
    waiting.get(id)?.(chunks.reduce((sum, { length }) => sum + length, 0));
    waiting.delete(id);
  };
  return (url) =>
    new Promise((resolve) => {
      waiting.set(++next, resolve);
      worker.postMessage([next, url]);
    });
}
