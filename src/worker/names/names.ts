import { dns } from "bun";
import { Failure } from "../../jobs/failure.ts";
import type { Clock } from "../../std/clock.ts";
import { ExpiringMap } from "../../std/collections/expiring-map.ts";
import { isOutOfDescriptors } from "../descriptors.ts";

/** One address of a name, with its lifetime in seconds. */
export interface FoundAddress {
  readonly address: string;
  readonly ttl: number;
}

/** Resolves with all addresses of a name. Rejects with an error whose `code` is that of c-ares or `node:dns`. */
export type Lookup = (name: string) => Promise<readonly FoundAddress[]>;

/**
 * Resolves with the addresses of a name, in the order of the tries. Rejects with a `Failure` of code
 * DOWNLOAD_DNS_NOT_FOUND or DOWNLOAD_DNS_TEMPORARY, or with the signal's reason.
 */
export type Resolver = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

interface ResolverDeps {
  readonly lookup: Lookup;
  readonly clock: Pick<Clock, "monotonic" | "after">;
  /** Longest wait for an answer, counted from the first request for the name. */
  readonly deadlineMs?: number;
  /** Most lookups at once, not counting slow ones; further names queue, within their deadline. */
  readonly lookupsMax?: number;
}

type Answer =
  | { readonly kind: "found"; readonly addresses: readonly string[]; readonly ttlMs: number }
  | { readonly kind: "not-found" }
  | { readonly kind: "temporary"; readonly reason: string; readonly cause?: unknown };

/** A name whose lookup is queued or runs. */
interface Pending {
  readonly name: string;
  readonly waiters: Set<(answer: Answer) => void>;
  readonly deadline: { cancel(): void };
  /** The time of the deadline by the monotonic clock. */
  readonly until: number;
  /** Frees the place of its lookup. Has no effect the second time, and while the name is queued. */
  leavePlace: () => void;
}

const DEADLINE_MS = 10_000;
const LOOKUPS_MAX = 64;
/** A slower lookup frees its place: names with silent servers must not delay the others. */
const SLOW_MS = 250;
/** Most lookups that have not returned, per place, including slow and expired ones. */
const UNRETURNED_PER_PLACE = 16;
/** Most answers in the cache, and most names pending. */
const NAMES_MAX = 10_000;
/** Most addresses of a name: a hostile zone can have thousands. */
const ADDRESSES_MAX = 32;
const TTL_MAX_MS = 30_000;
const TTL_MIN_MS = 1000;
const NOT_FOUND_MS = 5000;
/** Short, but long enough that not each task asks a dead resolver again. */
const TEMPORARY_MS = 2000;
/** NODATA counts as "not found": a name without an address will not have one on the next attempt. */
export const NOT_FOUND_CODES = /^(?:DNS_)?(?:ENOTFOUND|ENODATA)$/;

/**
 * Makes a resolver that shares lookups and caches answers: 30 s, or their TTL if that is shorter; "not found" for 5 s,
 * other failures for 2 s. A lookup that takes too long is abandoned: its name fails and its place is free. A late
 * answer goes into the cache.
 */
export function createResolver(deps: ResolverDeps): Resolver {
  const names = new Names(deps);
  return (name, signal) => names.resolve(name, signal);
}

/**
 * Asks the system's name servers and `/etc/hosts` by c-ares, which uses sockets: a silent server occupies no thread.
 *
 * c-ares answers "not found" if one family has no address and the other query failed. So a "not found" is checked by
 * one more query for each family.
 */
export async function lookUp(name: string): Promise<readonly FoundAddress[]> {
  try {
    return await dns.lookup(name, { backend: "c-ares" });
  } catch (error) {
    if (!NOT_FOUND_CODES.test(codeOf(error))) throw error;
    const families = await Promise.all([lookUpFamily(name, 4), lookUpFamily(name, 6)]);
    return families.flat();
  }
}

async function lookUpFamily(name: string, family: 4 | 6): Promise<readonly FoundAddress[]> {
  try {
    return await dns.lookup(name, { backend: "c-ares", family });
  } catch (error) {
    if (NOT_FOUND_CODES.test(codeOf(error))) return [];
    throw error;
  }
}

class Names {
  readonly #lookup: Lookup;
  readonly #clock: ResolverDeps["clock"];
  readonly #deadlineMs: number;
  readonly #lookupsMax: number;
  readonly #known: ExpiringMap<Answer>;
  readonly #pending = new Map<string, Pending>();
  /** The pending names whose lookup has not started. */
  readonly #queue = new Set<Pending>();
  #placesTaken = 0;
  /** Lookups that have not returned, with or without a waiter. */
  #unreturned = 0;

  constructor({ lookup, clock, deadlineMs = DEADLINE_MS, lookupsMax = LOOKUPS_MAX }: ResolverDeps) {
    this.#lookup = lookup;
    this.#clock = clock;
    this.#known = new ExpiringMap(clock, TTL_MAX_MS, NAMES_MAX);
    this.#deadlineMs = deadlineMs;
    this.#lookupsMax = lookupsMax;
  }

  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const answer = this.#known.get(name) ?? (await this.#wait(this.#pending.get(name) ?? this.#enqueue(name), signal));
    if (answer.kind === "found") return answer.addresses;
    if (answer.kind === "not-found") throw new Failure("DOWNLOAD_DNS_NOT_FOUND", `${name} does not exist`);
    throw temporaryFailure(name, answer.reason, answer.cause);
  }

  #remember(name: string, answer: Answer): void {
    // The name is not at fault, and the failure ends with the shortage.
    if (answer.kind === "temporary" && isOutOfDescriptors(answer.cause)) return;
    this.#known.set(name, answer, lifetimeMs(answer));
  }

  #enqueue(name: string): Pending {
    if (this.#pending.size >= NAMES_MAX) throw temporaryFailure(name, `${NAMES_MAX} other names are waiting`);
    const deadline = this.#clock.after(this.#deadlineMs, () => this.#expire(pending));
    const until = this.#clock.monotonic() + this.#deadlineMs;
    const pending: Pending = { name, waiters: new Set(), deadline, until, leavePlace: () => {} };
    this.#pending.set(name, pending);
    this.#queue.add(pending);
    this.#startQueued();
    return pending;
  }

  /** Rejects with the signal's reason as soon as it aborts. The lookup continues while it has another waiter. */
  #wait(pending: Pending, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const take = (answer: Answer) => {
        signal.removeEventListener("abort", stop);
        resolve(answer);
      };
      const stop = () => {
        pending.waiters.delete(take);
        if (pending.waiters.size === 0) this.#remove(pending);
        reject(signal.reason);
      };
      pending.waiters.add(take);
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  #startQueued(): void {
    for (const pending of this.#queue) {
      if (this.#placesTaken >= this.#lookupsMax) return;
      if (this.#unreturned >= this.#lookupsMax * UNRETURNED_PER_PLACE) return;
      this.#queue.delete(pending);
      // Many deadlines may pass at the same moment: the first one must not start lookups for the others.
      if (pending.until <= this.#clock.monotonic()) this.#expire(pending);
      else void this.#run(pending);
    }
  }

  async #run(pending: Pending): Promise<void> {
    this.#unreturned++;
    this.#takePlace(pending);
    const answer = await this.#ask(pending.name);
    this.#unreturned--;
    pending.leavePlace();
    if (this.#pending.get(pending.name) === pending) this.#settle(pending, answer);
    else if (answer.kind === "found") this.#remember(pending.name, answer);
    this.#startQueued();
  }

  #takePlace(pending: Pending): void {
    this.#placesTaken++;
    const slow = this.#clock.after(SLOW_MS, () => pending.leavePlace());
    pending.leavePlace = () => {
      pending.leavePlace = () => {};
      slow.cancel();
      this.#placesTaken--;
      this.#startQueued();
    };
  }

  async #ask(name: string): Promise<Answer> {
    try {
      const found = (await this.#lookup(name)).slice(0, ADDRESSES_MAX);
      if (found.length === 0) return { kind: "not-found" };
      const ttlMs = Math.min(...found.map(({ ttl }) => ttl)) * 1000;
      return { kind: "found", addresses: found.map(({ address }) => address), ttlMs };
    } catch (cause) {
      const code = codeOf(cause);
      return NOT_FOUND_CODES.test(code)
        ? { kind: "not-found" }
        : { kind: "temporary", reason: code.replace(/^DNS_/, ""), cause };
    }
  }

  #expire(pending: Pending): void {
    this.#settle(pending, { kind: "temporary", reason: `no answer within ${this.#deadlineMs} ms` });
  }

  #settle(pending: Pending, answer: Answer): void {
    this.#remember(pending.name, answer);
    for (const take of pending.waiters) take(answer);
    this.#remove(pending);
  }

  #remove(pending: Pending): void {
    pending.deadline.cancel();
    this.#queue.delete(pending);
    this.#pending.delete(pending.name);
    pending.leavePlace();
  }
}

function lifetimeMs(answer: Answer): number {
  if (answer.kind === "not-found") return NOT_FOUND_MS;
  if (answer.kind === "temporary") return TEMPORARY_MS;
  return Math.min(TTL_MAX_MS, Math.max(TTL_MIN_MS, answer.ttlMs));
}

function temporaryFailure(name: string, reason: string, cause?: unknown): Failure {
  return new Failure("DOWNLOAD_DNS_TEMPORARY", `${name} could not be resolved (${reason})`, { cause });
}

/** The code of a lookup's error, as c-ares and `node:dns` give it. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown error";
}
