import type { Changes } from "../group-commit.ts";
import type { QueueContext } from "./context.ts";

/** Writes how a commit's members changed what waits for each host. Runs inside their transaction. */
export function writeWaits({ db }: Pick<QueueContext, "db">, changes: Changes): void {
  const add = db.query<{ tasks: number }, [string, number]>(
    "INSERT INTO waits VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET tasks = tasks + excluded.tasks RETURNING tasks",
  );
  const take = db.query<{ tasks: number }, [number, string]>(
    "UPDATE waits SET tasks = tasks - ? WHERE host = ? RETURNING tasks",
  );
  for (const [host, tasks] of changes.waits) {
    if (tasks === 0) continue;
    const row = tasks > 0 ? add.get(host, tasks) : take.get(-tasks, host);
    if (row === null) throw new Error("a host has more tasks taken than waited for it");
    if (row.tasks === 0) db.query<never, [string]>("DELETE FROM waits WHERE host = ?").run(host);
  }
}

/** The hosts that most tasks wait for, and how many. */
export function readBusiestHosts({ db }: QueueContext, limit: number): Map<string, number> {
  const rows = db
    .query<{ host: string; tasks: number }, [number]>("SELECT host, tasks FROM waits ORDER BY tasks DESC, host LIMIT ?")
    .all(limit);
  return new Map(rows.map(({ host, tasks }) => [host, tasks]));
}
