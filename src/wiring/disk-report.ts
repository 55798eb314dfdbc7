import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { STORE_NAMES } from "../jobs/stores/service-stores.ts";
import { readLastBackup } from "../sqlite/backup/last-backup.ts";
import { storePaths } from "../sqlite/file/store-paths.ts";
import type { DiskName, DiskUse } from "../telemetry/gauges.ts";

interface DiskReport {
  readonly disks: () => Promise<ReadonlyMap<DiskName, DiskUse>>;
  readonly lastBackupAt: () => Promise<number>;
}

/** The figures of the stores' files and disks, read at each call. */
export function createDiskReport(
  { queue, ledger, dlq, storage }: Pick<Config, "queue" | "ledger" | "dlq" | "storage">,
  /** The id of the installation, a UUIDv7. */
  installation: () => string,
): DiskReport {
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  return {
    disks: async () => {
      const uses = STORE_NAMES.map(async (store) => [store, await diskUse(paths[store])] as const);
      const known = new Map<DiskName, DiskUse>(await Promise.all(uses));
      // The objects of local storage may have a disk of their own. Their size would need a walk.
      if (storage.backend !== "local") return known;
      return known.set("storage", { bytes: undefined, ...(await spaceAt(storage.path)) });
    },
    // Without a backup, the alert for an old one comes some days after the stores exist.
    lastBackupAt: async () => (await readLastBackup(queue.path)) ?? createdAt(installation()),
  };
}

async function diskUse(path: string): Promise<DiskUse> {
  const [file, log, space] = await Promise.all([
    stat(path).catch(() => undefined),
    stat(`${path}-wal`).catch(() => undefined),
    spaceAt(dirname(path)),
  ]);
  return { bytes: file === undefined ? undefined : file.size + (log?.size ?? 0), ...space };
}

/** The disk of a folder, its size, and the space that it has left for a user without privileges. */
async function spaceAt(folder: string): Promise<Omit<DiskUse, "bytes">> {
  const [place, disk] = await Promise.all([stat(folder).catch(() => undefined), statfs(folder).catch(() => undefined)]);
  if (disk === undefined) return { device: undefined, freeBytes: undefined, totalBytes: undefined };
  return { device: place?.dev, freeBytes: disk.bavail * disk.bsize, totalBytes: disk.blocks * disk.bsize };
}

/** The time in a UUIDv7, milliseconds since the epoch. */
function createdAt(id: string): number {
  return Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
}
