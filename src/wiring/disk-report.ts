import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { readLastBackup } from "../sqlite/backup/last-backup.ts";
import { storePaths } from "../sqlite/file/store-paths.ts";
import type { DiskUse, GaugeReads } from "../telemetry/gauges.ts";

/** The figures of the stores' files for the metrics, read at each scrape. */
export function createDiskReport(
  { queue, ledger, dlq, storage }: Pick<Config, "queue" | "ledger" | "dlq" | "storage">,
  /** The id of the installation, a UUIDv7. */
  installation: () => string,
): Pick<GaugeReads, "disks" | "lastBackupAt"> {
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  return {
    disks: async () => {
      const uses = Object.entries(paths).map(async ([store, path]) => [store, await diskUse(path)] as const);
      const known = new Map(await Promise.all(uses));
      // The objects of local storage may have a disk of their own. Their size would need a walk.
      if (storage.backend !== "local") return known;
      return known.set("storage", { bytes: undefined, freeBytes: await freeBytesAt(storage.path) });
    },
    // Without a backup, the alert for an old one comes some days after the stores exist.
    lastBackupAt: async () => (await readLastBackup(queue.path)) ?? createdAt(installation()),
  };
}

async function diskUse(path: string): Promise<DiskUse> {
  const [file, log, freeBytes] = await Promise.all([
    stat(path).catch(() => undefined),
    stat(`${path}-wal`).catch(() => undefined),
    freeBytesAt(dirname(path)),
  ]);
  return { bytes: file === undefined ? undefined : file.size + (log?.size ?? 0), freeBytes };
}

/** The space that is left to a user without privileges. */
async function freeBytesAt(folder: string): Promise<number | undefined> {
  const disk = await statfs(folder).catch(() => undefined);
  return disk === undefined ? undefined : disk.bavail * disk.bsize;
}

/** The time in a UUIDv7, milliseconds since the epoch. */
function createdAt(id: string): number {
  return Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
}
