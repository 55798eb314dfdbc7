import { signal } from "@preact/signals";
import { now, pageAgeMs } from "./browser-time.ts";

interface Answered {
  /** The time of the `Date` header: whole seconds, rounded down. The service renews it about once a second. */
  readonly serviceMs: number;
  /** The page's age when the answer arrived. */
  readonly pageMs: number;
}

const latest = signal<Answered | undefined>(undefined);

/** Remembers the time of an answer of the service. */
export function noteAnswer(headers: Headers): void {
  const serviceMs = Date.parse(headers.get("date") ?? "");
  const pageMs = pageAgeMs();
  latest.value = { serviceMs: Number.isNaN(serviceMs) ? serviceNow().getTime() : serviceMs, pageMs };
}

/** The present time of the service: up to two seconds too early, never too late, whatever the clock of the browser. */
export function serviceNow(): Date {
  const { value } = latest;
  return value === undefined ? now() : new Date(value.serviceMs + pageAgeMs() - value.pageMs);
}

/** Milliseconds since the latest answer of the service; `undefined` before the first one. */
export function answerAgeMs(): number | undefined {
  return latest.value === undefined ? undefined : pageAgeMs() - latest.value.pageMs;
}

type Filter = Readonly<Record<string, string>>;

/** A filter that ends now at the latest, so that a change by it leaves later jobs and dead letters alone. */
export function pinned({ until, ...filter }: Filter): Filter {
  const present = serviceNow();
  const isPast = until !== undefined && Date.parse(until) <= present.getTime();
  return { ...filter, until: isPast ? until : present.toISOString() };
}
