import { useEffect, useState } from "preact/hooks";
import type { OperationRow } from "../service/answers.ts";
import { dryRun, type RequestError } from "../service/service-request.ts";
import type { Letters } from "./letters.ts";

export interface LettersChanged {
  readonly matched: number;
  readonly replayed?: number;
  readonly given_up?: number;
  /** Present if the change goes on in the background. */
  readonly operation?: OperationRow;
}

/** The number of dead letters that a change would meet, from its dry run. */
export function useDryRun(path: string, letters: Letters) {
  const [matched, setMatched] = useState<number>();
  const [error, setError] = useState<RequestError>();
  useEffect(() => {
    dryRun<LettersChanged>(path, letters).then((answer) => setMatched(answer.matched), setError);
  }, []);
  const selected = "task_ids" in letters ? letters.task_ids.length : undefined;
  return { matched, error, selected };
}

/** A change that takes longer goes on in the background, and the page does not wait. */
export const BRIEFLY = { prefer: "wait=2" };
