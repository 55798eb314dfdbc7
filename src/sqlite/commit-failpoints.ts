import type { Reach } from "../jobs/failpoint.ts";
import type { Changes } from "./group-commit.ts";

/** Tells crash tests just before a commit, and once it is durable, before anybody else has heard of it. */
export function passCommit(changes: Changes, reach: Reach): void {
  const told = new Set(changes.events.flatMap(({ kind }) => kind?.$case ?? []));
  for (const event of told) reach(`queue.before-commit/${event}`);
  changes.onceDurable.unshift(() => {
    for (const event of told) reach(`queue.after-commit/${event}`);
  });
}
