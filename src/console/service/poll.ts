import { computed, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { after, now } from "./browser-time.ts";
import { get, post, type RequestError } from "./service-request.ts";

export const OVERVIEW_MS = 2000;
export const LIST_MS = 5000;
const BACKOFF_MAX_MS = 30_000;

/** The latest answer to a request that is repeated. After an error the last answer stays. */
export interface Polled<T> {
  readonly data: T | undefined;
  readonly error: RequestError | undefined;
  /** Time of the last answer, if later requests failed. */
  readonly staleSince: Date | undefined;
  readonly isLoading: boolean;
  /** Asks again now. */
  readonly refresh: () => void;
}

interface State<T> {
  readonly path: string;
  readonly data?: T;
  readonly answeredAt?: Date;
  readonly error?: RequestError | undefined;
}

/** The requests of the page, which the key `r` and each change repeat. */
const refreshers = new Set<() => void>();

export function refreshAll(): void {
  for (const refresh of refreshers) refresh();
}

/** A cancellation ends running downloads, which takes a moment: the page asks once more. */
const SETTLED_MS = 1000;

/** Sends a change, and then shows the new state at once. @throws RequestError */
export async function change<T>(path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<T> {
  const answer = await post<T>(path, body, headers);
  refreshAll();
  after(SETTLED_MS, refreshAll);
  return answer;
}

const repeated = signal(0);

/** True while the page repeats a request. Without one, nothing shows whether the service answers. */
export const isPolling = computed(() => repeated.value > 0);

/** Repeats a request while the page is visible; after errors less and less often. `undefined`: no request. */
export function usePoll<T>(
  path: string | undefined,
  everyMs = LIST_MS,
  ask = (signal: AbortSignal) => get<T>(path ?? "", signal),
): Polled<T> {
  const [state, setState] = useState<State<T>>({ path: "" });
  const [round, setRound] = useState(0);
  const refresh = () => setRound((last) => last + 1);
  useEffect(() => {
    refreshers.add(refresh);
    return () => void refreshers.delete(refresh);
  }, []);
  useEffect(() => {
    if (path === undefined) return undefined;
    return repeat(everyMs, ask, (result) => {
      setState((last) => ({ ...(last.path === path ? last : {}), path, ...result }));
    });
  }, [path, everyMs, round]);
  const current: State<T> = state.path === path ? state : { path: "" };
  return {
    data: current.data,
    error: current.error,
    staleSince: current.error === undefined ? undefined : current.answeredAt,
    isLoading: path !== undefined && current.data === undefined && current.error === undefined,
    refresh,
  };
}

type Result<T> = Omit<State<T>, "path">;

/** Asks at once and then again and again. Returns a function that ends it. */
function repeat<T>(everyMs: number, ask: (signal: AbortSignal) => Promise<T>, report: (result: Result<T>) => void) {
  const ended = new AbortController();
  repeated.value += 1;
  const { signal } = ended;
  let cancelTimer = () => {};
  let delay = everyMs;
  let isAsking = false;
  const round = async () => {
    if (document.hidden || isAsking) return;
    isAsking = true;
    try {
      const data = await ask(signal);
      delay = everyMs;
      if (!signal.aborted) report({ data, answeredAt: now(), error: undefined });
    } catch (error) {
      delay = Math.min(delay * 2, BACKOFF_MAX_MS);
      if (!signal.aborted) report({ error: error as RequestError });
    }
    isAsking = false;
    if (!signal.aborted) cancelTimer = after(delay, () => void round());
  };
  const onVisible = () => {
    cancelTimer();
    void round();
  };
  document.addEventListener("visibilitychange", onVisible, { signal });
  void round();
  return () => {
    cancelTimer();
    ended.abort();
    repeated.value -= 1;
  };
}
