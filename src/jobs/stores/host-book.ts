import type { HostChange, HostRecord } from "../host-record.ts";

/** Remembers hosts across restarts: pauses, breakers, concurrency limits. */
export interface HostBook {
  /** What an earlier process wrote. */
  known(): Promise<HostRecord[]>;
  /** The record of one host. */
  find(host: string): Promise<HostRecord | undefined>;
  /** Writes what `take` returns when the commit comes. */
  note(take: () => readonly HostChange[]): Promise<void>;
}
