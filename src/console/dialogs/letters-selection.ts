import { useEffect, useState } from "preact/hooks";
import type { OperationRow } from "../service/answers.ts";
import { now } from "../service/browser-time.ts";
import { post, type RequestError } from "../service/service-request.ts";
import type { Letters } from "./letters.ts";

export interface LettersChanged {
  readonly matched: number;
  readonly replayed?: number;
  readonly given_up?: number;
  /** Present if the change goes on in the background. */
  readonly operation?: OperationRow;
}

/** Pins the end of a filter to now, so that dead letters after the dry run stay out. */
function pinned(selection: Letters): Letters {
  if ("task_ids" in selection) return selection;
  const { until = now().toISOString() } = selection.filter;
  return { filter: { ...selection.filter, until } };
}

/** The selection of a dialog, pinned when the dialog opened, and the number of its dead letters. */
export function useDryRun(path: string, selection: Letters) {
  const [letters] = useState(() => pinned(selection));
  const [matched, setMatched] = useState<number>();
  const [error, setError] = useState<RequestError>();
  useEffect(() => {
    post<LettersChanged>(path, { ...letters, dry_run: true }).then((answer) => setMatched(answer.matched), setError);
  }, []);
  return { letters, matched, error };
}

/** A change that takes longer goes on in the background, and the page does not wait. */
export const BRIEFLY = { prefer: "wait=2" };
