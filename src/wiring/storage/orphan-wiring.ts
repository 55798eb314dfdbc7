import { NO_TASK, sortOf } from "../../jobs/stores/orphan-records.ts";
import { OrphanCleaner, type OrphanEvent } from "../../maintenance/orphan-cleaner.ts";
import type { PeriodicTask } from "../../std/clock.ts";
import type { Foundation } from "../foundation.ts";

const EVERY_MS = 1000;

/** The cleaner of orphans in the storage, with its log and its metrics. */
export function createOrphanCleaner({ stores, store, keys, clock, log, metrics }: Foundation): OrphanCleaner {
  return new OrphanCleaner({
    orphans: stores.queue.orphans,
    store,
    keys,
    clock,
    onEvent: (event) => {
      if (event.kind === "removed") metrics.orphanRemoved(sortOf(event.orphan));
      if (event.kind === "failed") metrics.orphanFailed(sortOf(event.orphan));
      tell(log, event);
    },
  });
}

export function orphanTask(cleaner: OrphanCleaner, { onQueueError }: Pick<Foundation, "onQueueError">): PeriodicTask {
  return {
    everyMs: EVERY_MS,
    run: (signal) =>
      cleaner.run(signal).catch((error: unknown) => {
        if (!signal.aborted) onQueueError(error);
      }),
  };
}

/** One line where the trouble begins and one where it ends, not one for each look. */
function tell(log: Foundation["log"], event: OrphanEvent): void {
  const { kind, bucket, key, name, task } = event.orphan;
  const isUpload = kind === "upload";
  const fields = {
    ...(task !== NO_TASK && { task }),
    bucket,
    key,
    ...(isUpload && name !== "" && { upload_id: name }),
  };
  switch (event.kind) {
    case "failed": {
      if (!event.isFirst) return;
      const what = isUpload
        ? "an upload is left open and cannot be aborted"
        : "a key cannot be looked at for an orphan";
      return log.warn({ ...fields, err: event.error }, `${what}; the service tries again`);
    }
    case "recovered": {
      return log.info(fields, isUpload ? "an upload that was left open is aborted" : "a key can be looked at again");
    }
    case "removed": {
      if (!isUpload) log.info(fields, "removed an object that a request stored after its attempt had ended");
      return;
    }
    case "expired": {
      return log.warn(fields, "the service could not look for an orphan for seven days; `fetchbox verify` reports it");
    }
  }
}
