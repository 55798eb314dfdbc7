/** So many items of one size, moved from the origin to the storage. */
export interface Load {
  readonly binary: string;
  readonly s3: string;
  /** What stands before an item's number in its URL. */
  readonly prefix: string;
  readonly count: number;
  /** Transfers at once. */
  readonly lanes: number;
  /** PEM file of the origin's certificate, where it speaks TLS. */
  readonly certificate?: string | undefined;
}

/** What of `Bun.ResourceUsage` is looked at: microseconds and bytes. */
export interface Usage {
  readonly cpuTime: { readonly total: number | bigint };
  readonly maxRSS: number;
}

export interface Ran {
  readonly seconds: number;
  /** Of the process that moved them, its start included. */
  readonly usage: Usage | undefined;
  /** CPU of its main thread while it moved them, its start not included. */
  readonly mainThreadSeconds?: number;
}

/** One that is measured. */
export interface Program {
  readonly name: string;
  /** It gets one of so many items, so that the whole stays short; default 1. */
  readonly itemsPart?: number;
  /** Larger items are not given to it. */
  readonly bytesMax?: number;
  readonly run: (load: Load, folder: string) => Promise<Ran>;
}

export interface Work {
  readonly name: string;
  readonly bytes: number;
  readonly count: number;
  readonly lanes: number;
  readonly delayMs: number;
  /** The origin's end of it; a `fresh` connection for each item. */
  readonly tls?: "kept" | "fresh";
  /** The origin declares no length. */
  readonly isChunked?: boolean;
}

export const WORKS: readonly Work[] = [
  { name: "10 KiB, 16 at once", bytes: 10 << 10, count: 12_000, lanes: 16, delayMs: 0 },
  { name: "10 KiB, 64 at once", bytes: 10 << 10, count: 12_000, lanes: 64, delayMs: 0 },
  { name: "100 KiB, 16 at once", bytes: 100 << 10, count: 8000, lanes: 16, delayMs: 0 },
  { name: "10 KiB after 50 ms, 64 at once", bytes: 10 << 10, count: 4000, lanes: 64, delayMs: 50 },
  { name: "1 GiB, one file", bytes: 1 << 30, count: 1, lanes: 1, delayMs: 0 },
  { name: "1 GiB, one file of unknown length", bytes: 1 << 30, count: 1, lanes: 1, delayMs: 0, isChunked: true },
  { name: "TLS, 10 KiB, 16 at once", bytes: 10 << 10, count: 12_000, lanes: 16, delayMs: 0, tls: "kept" },
  { name: "TLS, 10 KiB, a connection each", bytes: 10 << 10, count: 6000, lanes: 16, delayMs: 0, tls: "fresh" },
  { name: "TLS, 1 GiB, one file", bytes: 1 << 30, count: 1, lanes: 1, delayMs: 0, tls: "kept" },
];
