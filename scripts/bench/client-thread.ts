/** The client in a thread of its own: takes `[id, url]`, gives `[id, chunks]`, whose memory goes over with them. */
import { createGet } from "./client-ways.ts";

declare const self: Worker;
const get = createGet();

self.onmessage = async ({ data: [id, url] }: MessageEvent<[number, string]>) => {
  const chunks = await get(url);
  self.postMessage([id, chunks], [...new Set(chunks.map(({ buffer }) => buffer as ArrayBuffer))]);
};
