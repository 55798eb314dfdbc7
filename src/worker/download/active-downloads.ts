import type { ClaimedTask } from "../../jobs/task.ts";
import type { AttemptTrace } from "./request.ts";

/** A download under way, for who wants to look. */
export interface ActiveDownload {
  readonly claimed: ClaimedTask;
  /** Filled in as the attempt goes on. */
  readonly trace: Readonly<AttemptTrace>;
  /** By the monotonic clock. */
  readonly startedAt: number;
  /** 0 while it is not known. */
  readonly bytesTotal: number;
}

/** The downloads under way, at most as many as there are workers. */
export class ActiveDownloads {
  readonly #active = new Map<number, ActiveDownload & { bytesTotal: number }>();
  /** Of the attempts that are not under way any more. */
  #bytesBefore = 0;

  begin(claimed: ClaimedTask, trace: Readonly<AttemptTrace>, begun: number): void {
    this.#bytesBefore += this.#active.get(claimed.id)?.trace.bytes ?? 0;
    this.#active.set(claimed.id, { claimed, trace, startedAt: begun, bytesTotal: 0 });
  }

  expect(claimed: ClaimedTask, bytes: number): void {
    const download = this.#active.get(claimed.id);
    if (download !== undefined && Number.isSafeInteger(bytes)) download.bytesTotal = bytes;
  }

  /** Does nothing where another attempt at the same task has taken its place. */
  end(claimed: ClaimedTask): void {
    const download = this.#active.get(claimed.id);
    if (download?.claimed !== claimed) return;
    this.#bytesBefore += download.trace.bytes;
    this.#active.delete(claimed.id);
  }

  /** What all attempts have received so far, those that failed among them; never fewer than before. */
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
}
