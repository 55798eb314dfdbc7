/** S3 takes no more parts of one upload. */
export const PARTS_MAX = 10_000;
const MIB = 1024 * 1024;
/** Where an object's size is unknown, parts grow with the limit up to here: 640 GB in 10,000 parts. */
const UNKNOWN_PART_BYTES_MAX = 64 * MIB;

/**
 * The size of every part of an object but the last one, in whole MiB. Some servers (Cloudflare R2) reject parts of
 * different sizes.
 */
export function partBytesFor(parts: { bytes: number; objectBytesMax: number }, size: number | undefined): number {
  const largest = size ?? Math.min(parts.objectBytesMax, UNKNOWN_PART_BYTES_MAX * PARTS_MAX);
  return Math.max(parts.bytes, Math.ceil(largest / PARTS_MAX / MIB) * MIB);
}
