import type { Analysis } from "./answers.ts";
import { LIST_MS, type Polled, usePoll } from "./poll.ts";
import { get, pathWith } from "./service-request.ts";
import { pinned } from "./service-time.ts";

type Filter = Readonly<Record<string, string>>;

interface PinnedAnalysis extends Analysis {
  /** The filter with the end that these numbers have. A change by it meets no more than the numbers show. */
  readonly pinned: Filter;
}

/** The dead letters of a filter up to now, in groups. `undefined`: no request. */
export function usePinnedAnalysis(filter: Filter | undefined, by: string): Polled<PinnedAnalysis> {
  const pathOf = (of: Filter) => pathWith("operators/dlq/analysis", { ...of, by });
  return usePoll<PinnedAnalysis>(filter && pathOf(filter), LIST_MS, async (signal) => {
    const upToNow = pinned(filter ?? {});
    return { ...(await get<Analysis>(pathOf(upToNow), signal)), pinned: upToNow };
  });
}
