import type { Overview } from "../../api/openapi/overview-schemas.ts";
import type { DiskName, DiskUse } from "../../telemetry/gauges.ts";

/** Below this free space a disk is low, as for the alert `DiskFills`; a test compares them. */
const DISK_LOW_BYTES = 2e9;
/** Below this free space a disk is full for practical purposes, even if no write has failed yet. */
const DISK_FULL_BYTES = 1e6;

type StoreRow = Overview["stores"][number];

/** A disk that is low or full, with the stores on it. */
export interface ScarceDisk {
  readonly state: "low" | "full";
  readonly stores: readonly DiskName[];
}

/** The stores and their disks. `isFull`: a write has failed because the disk is full. */
export class DiskStates {
  readonly #uses: ReadonlyMap<DiskName, DiskUse>;
  readonly #isFull: (store: DiskName) => boolean;

  constructor(uses: ReadonlyMap<DiskName, DiskUse>, isFull: (store: DiskName) => boolean) {
    this.#uses = uses;
    this.#isFull = isFull;
  }

  rows(): StoreRow[] {
    return [...this.#uses].map(([store, { bytes, freeBytes, totalBytes }]) => ({
      store,
      bytes: bytes ?? null,
      disk_free_bytes: freeBytes ?? null,
      disk_total_bytes: totalBytes ?? null,
      disk: this.#stateOf(store),
    }));
  }

  /** Each disk that is low or full, once. */
  scarce(): ScarceDisk[] {
    const disks = new Map<string, DiskName[]>();
    for (const store of this.#uses.keys()) {
      const first = this.#sharing(store)[0] ?? store;
      disks.set(first, [...(disks.get(first) ?? []), store]);
    }
    return [...disks.values()].flatMap((stores) => {
      const states = stores.map((store) => this.#stateOf(store));
      const state = (["full", "low"] as const).find((wanted) => states.includes(wanted));
      return state === undefined ? [] : { state, stores };
    });
  }

  #stateOf(store: DiskName): StoreRow["disk"] {
    const free = this.#uses.get(store)?.freeBytes;
    if (this.#sharing(store).some((each) => this.#isFull(each))) return "full";
    if (free === undefined) return null;
    if (free < DISK_FULL_BYTES) return "full";
    return free < DISK_LOW_BYTES ? "low" : "ok";
  }

  /** The stores on the disk of a store, with itself. */
  #sharing(store: DiskName): DiskName[] {
    const device = this.#uses.get(store)?.device;
    if (device === undefined) return [store];
    return [...this.#uses].filter(([, use]) => use.device === device).map(([name]) => name);
  }
}
