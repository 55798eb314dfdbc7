import type { JobSnapshot } from "../service/answers.ts";
import { countText, percentText } from "./format.ts";

type Counts = Pick<JobSnapshot, "resource_total" | "resource_completed" | "resource_failed" | "resource_cancelled">;

/** The stored part of a job, as a bar and in numbers, beside the failed and the cancelled part. */
export function Progress(counts: Counts) {
  const { resource_total: total, resource_completed: stored } = counts;
  const { resource_failed: failed, resource_cancelled: cancelled } = counts;
  const widthOf = (count: number) => ({ width: `${total === 0 ? 0 : (100 * count) / total}%` });
  return (
    <span class="progress">
      <span class="shares-of-job" aria-hidden="true">
        <i class="stored" style={widthOf(stored)} />
        <i class="failed" style={widthOf(failed)} />
        <i class="cancelled" style={widthOf(cancelled)} />
      </span>
      <span>
        {percentText(total === 0 ? 0 : stored / total)} ({countText(stored)}/{countText(total)})
        {failed > 0 && <span class="bad"> · {countText(failed)} failed</span>}
        {cancelled > 0 && ` · ${countText(cancelled)} cancelled`}
      </span>
    </span>
  );
}
