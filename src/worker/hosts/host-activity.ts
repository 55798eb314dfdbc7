import type { Clock } from "../../std/clock.ts";
import { BoundedMap } from "../../std/collections/bounded-map.ts";

/** Most hosts in memory; the one without an attempt for the longest time makes room. */
const HOSTS_MAX = 5000;
/** The period of the figures. */
const WINDOW_MS = 300_000;
/** The length of one slot of a ring. The figures cover the window to within one slot. */
const SLOT_MS = 30_000;

/** The attempts of one host that ended lately. */
interface HostFigures {
  readonly completed: number;
  /** Failed attempts, also those that are repeated. */
  readonly failed: number;
  /** Body bytes that these attempts received. */
  readonly bytes: number;
}

const NO_FIGURES: HostFigures = { completed: 0, failed: 0, bytes: 0 };

/** The figures of one slot of time. */
interface Slot {
  readonly number: number;
  completed: number;
  failed: number;
  bytes: number;
}

/** The attempts of the last five minutes by host, for hosts that were active lately. */
export class HostActivity {
  readonly #clock: Pick<Clock, "monotonic">;
  /** The slots of each host, the latest last. The host with the latest attempt is last. */
  readonly #hosts = new BoundedMap<string, Slot[]>(HOSTS_MAX);

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Counts an attempt that has ended. */
  note(host: string, result: "completed" | "failed", bytes: number): void {
    const number = this.#slotNumber();
    const slots = this.#hosts.get(host) ?? [];
    this.#hosts.set(host, slots);
    let slot = slots.at(-1);
    if (slot?.number !== number) {
      slot = { number, completed: 0, failed: 0, bytes: 0 };
      slots.push(slot);
      dropOld(slots, number);
    }
    slot[result]++;
    slot.bytes += bytes;
  }

  has(host: string): boolean {
    return this.#figuresOf(host) !== NO_FIGURES;
  }

  /** The figures of a host; zeros if it was not active lately. */
  of(host: string): HostFigures {
    return this.#figuresOf(host);
  }

  /** The hosts that were active lately, at most 5,000 of them. */
  hosts(): string[] {
    this.#forgetIdle();
    return Array.from(this.#hosts, ([host]) => host);
  }

  /** The active hosts with failed attempts, the one with most first. */
  failing(): string[] {
    const failed = this.hosts().map((host) => [host, this.of(host).failed] as const);
    return failed
      .filter(([, count]) => count > 0)
      .toSorted(([, a], [, b]) => b - a)
      .map(([host]) => host);
  }

  #figuresOf(host: string): HostFigures {
    const slots = this.#hosts.get(host);
    if (slots === undefined) return NO_FIGURES;
    dropOld(slots, this.#slotNumber());
    if (slots.length === 0) return NO_FIGURES;
    const total = { completed: 0, failed: 0, bytes: 0 };
    for (const { completed, failed, bytes } of slots) {
      total.completed += completed;
      total.failed += failed;
      total.bytes += bytes;
    }
    return total;
  }

  #slotNumber(): number {
    return Math.floor(this.#clock.monotonic() / SLOT_MS);
  }

  #forgetIdle(): void {
    const number = this.#slotNumber();
    for (const [host, slots] of this.#hosts) {
      dropOld(slots, number);
      if (slots.length > 0) return;
      this.#hosts.delete(host);
    }
  }
}

/** Drops the slots that are older than the window. */
function dropOld(slots: Slot[], number: number): void {
  const first = slots.findIndex((slot) => slot.number > number - WINDOW_MS / SLOT_MS);
  slots.splice(0, first < 0 ? slots.length : first);
}
