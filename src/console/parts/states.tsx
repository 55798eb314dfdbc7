import type { ComponentChildren } from "preact";
import { isUtc } from "../frame/preferences.ts";
import type { Polled } from "../service/poll.ts";
import type { RequestError } from "../service/service-request.ts";
import { countText, timeText } from "./format.ts";

/** An error with what support needs: the code and the id of the request. */
export function ErrorText({ error }: { readonly error: RequestError }) {
  return (
    <p class="error" role="alert">
      {error.message}{" "}
      <span class="faint">
        {error.code}
        {error.requestId !== "" && ` · request ${error.requestId}`}
      </span>
    </p>
  );
}

interface LoadedProps<T> {
  readonly poll: Polled<T>;
  readonly children: (data: T) => ComponentChildren;
}

/** The content of an answer. While later requests fail, the last content is greyed. */
export function Loaded<T>({ poll: { data, error, staleSince, isLoading }, children }: LoadedProps<T>) {
  return (
    <div aria-busy={isLoading}>
      {error !== undefined && <ErrorText error={error} />}
      {staleSince !== undefined && (
        <p class="stale-note">Stale since {timeText(staleSince.toISOString(), isUtc.value)}; it is tried again.</p>
      )}
      {isLoading && <p class="faint">Loading…</p>}
      {data !== undefined && <div class={staleSince === undefined ? "" : "stale"}>{children(data)}</div>}
    </div>
  );
}

/** Says why a list is empty, and what to do next. */
export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

/** Appears while a list is frozen and the service has new rows. */
export function NewRows({ count, onShow }: { readonly count: number; readonly onShow: () => void }) {
  if (count === 0) return null;
  return (
    <button type="button" class="chip" onClick={onShow}>
      {countText(count)} new
    </button>
  );
}
