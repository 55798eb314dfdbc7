import type { JobSnapshot } from "../service/answers.ts";
import { countText, percentText } from "./format.ts";

type Counts = Pick<JobSnapshot, "resource_total" | "resource_completed" | "resource_failed" | "resource_cancelled">;

/** The ended part of a job, as a bar and in numbers. */
export function Progress(counts: Counts) {
  const { resource_total: total, resource_completed: stored, resource_failed: failed } = counts;
  const ended = stored + failed + counts.resource_cancelled;
  const share = total === 0 ? 0 : ended / total;
  return (
    <span class="progress">
      <progress max={total} value={ended} aria-label={percentText(share)} />
      <span>
        {percentText(share)} ({countText(ended)}/{countText(total)}
        {failed > 0 && <span class="bad">, {countText(failed)} ✗</span>})
      </span>
    </span>
  );
}
