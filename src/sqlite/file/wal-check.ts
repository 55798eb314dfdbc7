import { closeSync, existsSync, openSync, readSync } from "node:fs";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

/**
 * Finds damage in the write-ahead log of a store whose commits are synced. SQLite reads a log up to the first bad frame
 * and takes the rest for an unfinished tail, so a flipped bit would silently drop every later commit. But a commit only
 * starts when the previous one is on the disk: a bad frame before more than one commit is damage. A write of a running
 * service can look like damage, but not twice.
 * @returns the place of the damage, or `undefined`
 * @see https://sqlite.org/fileformat2.html#walformat
 */
export function findWalDamage(path: string): string | undefined {
  return foundTwice(path, walk);
}

/** Whether SQLite ignores the log when it recovers a store: the header is damaged or incomplete. */
export function isLogIgnored(path: string): boolean {
  return foundTwice(path, () => undefined, "its header is incomplete") !== undefined;
}

type Walk = (file: number, header: DataView, sum: Checksum) => string | undefined;

function foundTwice(path: string, walkFrames: Walk, cutHeader?: string): string | undefined {
  let found = lookForDamage(path, walkFrames, cutHeader);
  for (let before: string | undefined; found !== undefined && found !== before; ) {
    before = found;
    found = lookForDamage(path, walkFrames, cutHeader);
  }
  return found;
}

function lookForDamage(path: string, walkFrames: Walk, cutHeader: string | undefined): string | undefined {
  if (!existsSync(path)) return undefined;
  const file = openSync(path, "r");
  try {
    const header = readAt(file, 0, HEADER_BYTES);
    if (header.byteLength === 0) return undefined;
    if (header.byteLength < HEADER_BYTES) return cutHeader;
    if ((header.getUint32(0) & ~1) >>> 0 !== MAGIC) return "its header is not the header of a log";
    const sum = new Checksum(header.getUint32(0) % 2 === 0);
    sum.add(header, 0, 24);
    return sum.isAt(header, 24) ? walkFrames(file, header, sum) : "its header is damaged";
  } finally {
    closeSync(file);
  }
}

function walk(file: number, header: DataView, sum: Checksum): string | undefined {
  const frameBytes = FRAME_HEADER_BYTES + header.getUint32(8);
  let badAt: number | undefined;
  let commitsBehind = 0;
  for (let number = 1; ; number++) {
    const frame = readAt(file, HEADER_BYTES + (number - 1) * frameBytes, frameBytes);
    if (frame.byteLength < frameBytes) break;
    const isCurrent = frame.getUint32(8) === header.getUint32(16) && frame.getUint32(12) === header.getUint32(20);
    if (badAt === undefined) {
      if (!isCurrent) {
        // The frame is from an earlier round of the log, unless its salt is damaged.
        badAt = number;
        continue;
      }
      sum.add(frame, 0, 8);
      sum.add(frame, FRAME_HEADER_BYTES, frameBytes);
      if (sum.isAt(frame, 16)) continue;
      badAt = number;
    }
    if (isCurrent && frame.getUint32(4) !== 0) commitsBehind++;
  }
  return badAt !== undefined && commitsBehind > 1 ? `frame ${badAt} is damaged and commits follow it` : undefined;
}

/** The cumulative checksum of a log's header and frames. */
class Checksum {
  readonly #isLittleEndian: boolean;
  #first = 0;
  #second = 0;

  constructor(isLittleEndian: boolean) {
    this.#isLittleEndian = isLittleEndian;
  }

  add(bytes: DataView, from: number, to: number): void {
    for (let at = from; at < to; at += 8) {
      this.#first = (this.#first + bytes.getUint32(at, this.#isLittleEndian) + this.#second) >>> 0;
      this.#second = (this.#second + bytes.getUint32(at + 4, this.#isLittleEndian) + this.#first) >>> 0;
    }
  }

  isAt(bytes: DataView, at: number): boolean {
    return bytes.getUint32(at) === this.#first && bytes.getUint32(at + 4) === this.#second;
  }
}

function readAt(file: number, at: number, bytes: number): DataView {
  const buffer = new Uint8Array(bytes);
  return new DataView(buffer.buffer, 0, readSync(file, buffer, 0, bytes, at));
}
