import type { WaitingHost, WaitingHosts, WaitingHostsPart } from "../../jobs/stores/queue-control.ts";
import { DROP_WAITS, RECOUNT_WAITS } from "../counters.ts";
import type { Changes } from "../group-commit.ts";
import type { QueueContext } from "./queue-context.ts";

/**
 * Writes the number of tasks that wait for each host, as a commit's members changed it. Runs inside their transaction,
 * after the lanes are written.
 */
export function writeWaits({ db, onDrift }: Pick<QueueContext, "db" | "onDrift">, changes: Changes): void {
  if (!changes.laneDrifted && addWaits(db, changes)) return;
  for (const sql of [DROP_WAITS, RECOUNT_WAITS]) db.query<never, []>(sql).run();
  if (!changes.laneDrifted) changes.after("notify", () => onDrift("host_waits"));
}

/** False if a host's count cannot be right. */
function addWaits(db: QueueContext["db"], changes: Changes): boolean {
  const add = db.query<{ tasks: number }, [string, number]>(
    "INSERT INTO waits VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET tasks = tasks + excluded.tasks RETURNING tasks",
  );
  const take = db.query<{ tasks: number }, [number, string]>(
    "UPDATE OR IGNORE waits SET tasks = tasks - ? WHERE host = ? RETURNING tasks",
  );
  // A broad list has a task or two of each host, and its count goes with the last one.
  const end = db.query<never, [string, number]>("DELETE FROM waits WHERE host = ? AND tasks = ?");
  for (const [host, tasks] of changes.waits) {
    if (tasks === 0 || (tasks < 0 && end.run(host, -tasks).changes > 0)) continue;
    const row = tasks > 0 ? add.get(host, tasks) : take.get(-tasks, host);
    if (row === null) return false;
  }
  return true;
}

/** Adds all waiting tasks of a job in one statement: a job may have tens of thousands of hosts. */
export function addWaitsOfJob({ db }: Pick<QueueContext, "db">, job: number): void {
  db.query<never, [number]>(
    `INSERT INTO waits SELECT host, sum(waiting) FROM lanes WHERE job = ? AND waiting > 0 GROUP BY host
     ON CONFLICT (host) DO UPDATE SET tasks = tasks + excluded.tasks`,
  ).run(job);
}

/** The hosts with most waiting tasks, and the number of these. */
export function readBusiestHosts({ db }: QueueContext, limit: number): Map<string, number> {
  const rows = db
    .query<{ host: string; tasks: number }, [number]>("SELECT host, tasks FROM waits ORDER BY tasks DESC, host LIMIT ?")
    .all(limit);
  return new Map(rows.map(({ host, tasks }) => [host, tasks]));
}

/** A search examines this many hosts at most. */
const EXAMINED_MAX = 5000;
/** A search that has found this many hosts stops. */
const FOUND_MIN = 50;

/** A part of the hosts with waiting tasks: see `QueueControl.waitingHosts`. */
export function readWaitingHosts(context: QueueContext, part: WaitingHostsPart): WaitingHosts {
  const { limit, contains = "" } = part;
  const hosts = new Map<string, number>();
  let { after } = part;
  for (let examined = 0; ; ) {
    const wanted = Math.min(Math.max(limit, examined * 3), EXAMINED_MAX - examined);
    const rows = readWaitsAfter(context, after, wanted);
    for (const { host, tasks } of rows) if (host.includes(contains)) hosts.set(host, tasks);
    examined += rows.length;
    after = rows.at(-1);
    if (rows.length < wanted) return { hosts, next: undefined };
    if (contains === "" || hosts.size >= FOUND_MIN || examined >= EXAMINED_MAX) return { hosts, next: after };
  }
}

/** The hosts after a host, by their numbers of waiting tasks. */
function readWaitsAfter({ db }: QueueContext, after: WaitingHost | undefined, limit: number): WaitingHost[] {
  // Two searches, because one condition for both columns would read all hosts with as many tasks.
  const same = db.query<WaitingHost, [number, string, number]>(
    "SELECT host, tasks FROM waits WHERE tasks = ? AND host > ? ORDER BY host LIMIT ?",
  );
  const fewer = db.query<WaitingHost, [number, number]>(
    "SELECT host, tasks FROM waits WHERE tasks > 0 AND tasks < ? ORDER BY tasks DESC, host LIMIT ?",
  );
  const first = after === undefined ? [] : same.all(after.tasks, after.host, limit);
  return [...first, ...fewer.all(after?.tasks ?? Number.MAX_SAFE_INTEGER, limit - first.length)];
}

/** The numbers of waiting tasks of some hosts. */
export function readWaitingOf({ db }: QueueContext, hosts: readonly string[]): Map<string, number> {
  const rows = db
    .query<WaitingHost, [string]>(
      "SELECT host, tasks FROM waits WHERE host IN (SELECT value FROM json_each(?)) AND tasks > 0",
    )
    .all(JSON.stringify(hosts));
  return new Map(rows.map(({ host, tasks }) => [host, tasks]));
}
