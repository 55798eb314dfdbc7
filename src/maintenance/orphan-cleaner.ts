import type { ObjectRef, ObjectStore } from "../jobs/object-store.ts";
import type { OrphanRecords } from "../jobs/stores/orphan-records.ts";
import { ORPHAN_SORTS, type Orphan, type OrphanSort, type Postponed, sortOf } from "../jobs/stores/orphan-records.ts";
import type { Clock } from "../std/clock.ts";
import type { KeyGuard } from "../storage/key-guard.ts";

/** An event of an orphan that is logged or counted. */
export type OrphanEvent =
  /** The upload is aborted, or the object removed. */
  | { readonly kind: "removed"; readonly orphan: Orphan }
  /** The storage refused a look, or did not answer; `isFirst`: the look before went well. */
  | { readonly kind: "failed"; readonly orphan: Orphan; readonly error: unknown; readonly isFirst: boolean }
  /** A look went well after some that failed. */
  | { readonly kind: "recovered"; readonly orphan: Orphan }
  /** The watch has ended, though the last look failed. */
  | { readonly kind: "expired"; readonly orphan: Orphan };

interface OrphanCleanerDeps {
  readonly orphans: Pick<OrphanRecords, "begin" | "adopt" | "dueKeys" | "dueUnder" | "note">;
  readonly store: Pick<ObjectStore, "abortUpload" | "removeUploaded">;
  readonly keys: Pick<KeyGuard, "remove">;
  readonly clock: Pick<Clock, "steady">;
  readonly onEvent: (event: OrphanEvent) => void;
}

/** Longest time between two looks; it doubles up to this. */
export const LOOK_EVERY_MAX_MS = 15 * 60_000;
const LOOK_EVERY_MIN_MS = 1000;
const BUSY_MS = 10_000;
/** Time in which an abandoned request may still store its object. */
export const WATCH_MS = 24 * 3_600_000;
/** The same time if no look succeeds. */
export const BLIND_WATCH_MS = 7 * WATCH_MS;
/** Keys of one commit, and keys at a time. */
const BATCH = 64;
const AT_A_TIME = 8;

/** The result of one look at an orphan. */
type Look =
  | { readonly kind: "clean" }
  | { readonly kind: "removed" }
  | { readonly kind: "failed"; readonly error: unknown }
  /** An attempt holds the key. */
  | { readonly kind: "busy" };

interface Looked {
  readonly orphan: Orphan;
  readonly look: Look;
}

/**
 * Removes uploads and objects that attempts left in the storage. An orphan is recorded when its attempt is settled, or
 * at the start after a crash:
 *
 *     recorded ──1 s──▶ due ──look──▶ waiting (1, 2, 4 … s, at most 15 min) ──▶ due …
 *                        └───look──▶ ended
 *
 * - `upload` with an id: ends when it is aborted or the storage has no such upload. Its watch has no limit.
 * - `upload` without an id stands for any upload under the key: a lost request may have opened one, or may open one
 *   late. `object`: a lost request may store it late. Both end with the first good look after `WATCH_MS`, or after
 *   `BLIND_WATCH_MS` if no look succeeds.
 * - An object is removed only if it carries the token of the attempt that left it.
 * - An upload with an id belongs to its attempt alone. Other orphans under a key that an attempt holds are due again
 *   `BUSY_MS` later, and that does not count as a look.
 * - A completed task ends its `object` orphans: a late object is its own.
 */
export class OrphanCleaner {
  readonly #deps: OrphanCleanerDeps;

  constructor(deps: OrphanCleanerDeps) {
    this.#deps = deps;
  }

  /**
   * Takes over orphans of the last process and aborts the uploads whose id is known. Resolves to their number.
   * `run` does the rest: a crash leaves one with every claimed task, and a silent storage would hold up the start.
   * @throws the queue's error
   */
  async begin(signal: AbortSignal): Promise<number> {
    await this.#deps.orphans.begin();
    return this.#round(["upload"], signal);
  }

  /** Looks at all due orphans. @throws the queue's error, or the signal's reason */
  async run(signal: AbortSignal): Promise<void> {
    await this.#deps.orphans.adopt();
    await this.#round(ORPHAN_SORTS, signal);
  }

  /** Resolves to the number of removed orphans. */
  async #round(sorts: readonly OrphanSort[], signal: AbortSignal): Promise<number> {
    let removed = 0;
    while (!signal.aborted) {
      const keys = await this.#deps.orphans.dueKeys(sorts, BATCH);
      if (keys.length === 0) break;
      const looked = await this.#lookAtAll(keys, signal);
      await this.#note(looked);
      removed += looked.filter(({ look }) => look.kind === "removed").length;
    }
    return removed;
  }

  async #lookAtAll(keys: readonly ObjectRef[], signal: AbortSignal): Promise<Looked[]> {
    const looked: Looked[] = [];
    const left = [...keys];
    const work = async () => {
      for (let ref = left.shift(); ref !== undefined && !signal.aborted; ref = left.shift()) {
        looked.push(...(await this.#lookUnder(ref, signal)));
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    return looked;
  }

  /** Looks at the orphans of one key; they are `busy` if an attempt holds it. An aborted look does not count. */
  async #lookUnder(ref: ObjectRef, signal: AbortSignal): Promise<Looked[]> {
    // The rows are read late: a settlement may have ended some since the key was found.
    const due = () => this.#deps.orphans.dueUnder(ref);
    const looked = await this.#abort((await due()).filter(hasId), signal);
    if ((await due()).every(hasId)) return looked;
    const isFree = await this.#deps.keys.remove(ref, async () => {
      // Only here, where no attempt can begin under the key any more.
      const others = (await due()).filter((orphan) => !hasId(orphan));
      const uploads = others.filter(({ kind }) => kind === "upload");
      const objects = others.filter(({ kind }) => kind === "object");
      looked.push(...(await this.#abort(uploads, signal)), ...(await this.#removeFrom(ref, objects, signal)));
    });
    if (isFree) return looked;
    const busy = (await due()).filter((orphan) => !hasId(orphan));
    return [...looked, ...busy.map((orphan): Looked => ({ orphan, look: { kind: "busy" } }))];
  }

  async #abort(uploads: readonly Orphan[], signal: AbortSignal): Promise<Looked[]> {
    const looked: Looked[] = [];
    for (const orphan of uploads) {
      const { bucket, key, name: uploadId } = orphan;
      try {
        await this.#deps.store.abortUpload({ bucket, key, uploadId }, signal);
        // Without an id it is unknown whether an upload was open.
        looked.push({ orphan, look: { kind: hasId(orphan) ? "removed" : "clean" } });
      } catch (error) {
        if (signal.aborted) break;
        looked.push({ orphan, look: { kind: "failed", error } });
      }
    }
    return looked;
  }

  /** Looks once for all tokens: an object carries one of them. */
  async #removeFrom(ref: ObjectRef, objects: readonly Orphan[], signal: AbortSignal): Promise<Looked[]> {
    if (objects.length === 0 || signal.aborted) return [];
    try {
      const tokens = new Set(objects.map(({ name }) => name));
      const isRemoved = await this.#deps.store.removeUploaded(ref, tokens, signal);
      return objects.map((orphan, i) => ({ orphan, look: { kind: isRemoved && i === 0 ? "removed" : "clean" } }));
    } catch (error) {
      return signal.aborted ? [] : objects.map((orphan) => ({ orphan, look: { kind: "failed", error } }));
    }
  }

  async #note(looked: readonly Looked[]): Promise<void> {
    const now = this.#deps.clock.steady();
    const ended: number[] = [];
    const postponed: Postponed[] = [];
    for (const { orphan, look } of looked) {
      if (isEnded(orphan, look, now)) ended.push(orphan.id);
      else postponed.push(postponedFrom(orphan, look, now));
    }
    if (looked.length > 0) await this.#deps.orphans.note({ ended, postponed });
    for (const each of looked) for (const event of eventsOf(each, now)) this.#deps.onEvent(event);
  }
}

function hasId(orphan: Orphan): boolean {
  return sortOf(orphan) === "upload";
}

/** Whether an orphan has ended: an upload with an id is gone, or the time for late ones is over. */
function isEnded(orphan: Orphan, look: Look, now: number): boolean {
  const ageMs = now - orphan.leftAt;
  if (look.kind === "busy") return false;
  if (look.kind === "failed") return !hasId(orphan) && ageMs >= BLIND_WATCH_MS;
  return hasId(orphan) || ageMs >= WATCH_MS;
}

function postponedFrom({ id, looks, failures }: Orphan, look: Look, now: number): Postponed {
  if (look.kind === "busy") return { id, dueAt: now + BUSY_MS, looks, failures };
  const waitMs = Math.min(LOOK_EVERY_MAX_MS, LOOK_EVERY_MIN_MS * 2 ** Math.min(looks, 20));
  return { id, dueAt: now + waitMs, looks: looks + 1, failures: look.kind === "failed" ? failures + 1 : 0 };
}

function* eventsOf({ orphan, look }: Looked, now: number): Generator<OrphanEvent> {
  if (look.kind === "busy") return;
  if (look.kind === "failed") {
    yield { kind: "failed", orphan, error: look.error, isFirst: orphan.failures === 0 };
    if (isEnded(orphan, look, now)) yield { kind: "expired", orphan };
    return;
  }
  if (look.kind === "removed") yield { kind: "removed", orphan };
  if (orphan.failures > 0) yield { kind: "recovered", orphan };
}
