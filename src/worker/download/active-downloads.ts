import type { Attempt, AttemptTrace } from "../attempt.ts";
import { Speedometer } from "./speedometer.ts";

/** A download under way, as displays show it. */
export interface ActiveDownload {
  readonly claimed: Attempt["claimed"];
  /** Changes while the attempt runs. */
  readonly trace: Readonly<AttemptTrace>;
  /** By the monotonic clock. */
  readonly startedAt: number;
  /** 0 while the size is unknown. */
  readonly bytesTotal: number;
  /** By the samples of the last few seconds. */
  readonly speed: Pick<Speedometer, "perSecond">;
}

interface Entry extends ActiveDownload {
  bytesTotal: number;
  readonly speed: Speedometer;
}

/** The downloads under way: at most one for each worker. */
export class ActiveDownloads {
  readonly #active = new Map<number, Entry>();
  /** Bytes of the attempts that have ended. */
  #bytesBefore = 0;

  begin({ claimed, trace }: Pick<Attempt, "claimed" | "trace">, startedAt: number): void {
    this.#bytesBefore += this.#active.get(claimed.id)?.trace.bytes ?? 0;
    const speed = new Speedometer();
    speed.note(trace.bytes, startedAt);
    this.#active.set(claimed.id, { claimed, trace, startedAt, bytesTotal: 0, speed });
  }

  expect({ claimed }: Pick<Attempt, "claimed">, bytes: number): void {
    const download = this.#active.get(claimed.id);
    if (download !== undefined && Number.isSafeInteger(bytes)) download.bytesTotal = bytes;
  }

  /** Has no effect where another attempt at the same task has taken its place. */
  end({ claimed }: Pick<Attempt, "claimed">): void {
    const download = this.#active.get(claimed.id);
    if (download?.claimed !== claimed) return;
    this.#bytesBefore += download.trace.bytes;
    this.#active.delete(claimed.id);
  }

  /** Measures the speed of every download. To be called about once a second, at a time of the monotonic clock. */
  sample(now: number): void {
    for (const { trace, speed } of this.#active.values()) speed.note(trace.bytes, now);
  }

  /** Bytes that all attempts have received so far, including failed ones. The number never falls. */
  get bytesReceived(): number {
    let bytes = this.#bytesBefore;
    for (const { trace } of this.#active.values()) bytes += trace.bytes;
    return bytes;
  }

  get count(): number {
    return this.#active.size;
  }

  list(): readonly ActiveDownload[] {
    return [...this.#active.values()];
  }

  /** The number of downloads by host. */
  byHost(): Map<string, number> {
    const running = new Map<string, number>();
    for (const { claimed } of this.#active.values()) running.set(claimed.host, (running.get(claimed.host) ?? 0) + 1);
    return running;
  }
}
