import type { Database } from "bun:sqlite";
import { DeadLetter } from "../../gen/fetchbox/v1/dead_letter.ts";
import type { Event, TaskFailed } from "../../gen/fetchbox/v1/event.ts";
import type { JobHeader } from "../../jobs/job.ts";
import type { DeadLetterRef } from "../../jobs/stores/dead-letter-changes.ts";
import {
  type DeadLetterFilter,
  type DeadLetterGroup,
  type DeadLetterReads,
  type DeadLetterRecord,
  type FullDeadLetter,
  type Grouping,
} from "../../jobs/stores/dead-letter-reads.ts";
import type { DeadLetterRetention } from "../../jobs/stores/retained-stores.ts";
import { dropGroups, type OnDrift, recountGroups, recountSize } from "../counters.ts";
import { giveBackPages, usedBytes } from "../file/free-pages.ts";
import type { Projection } from "../outbox.ts";
import { createProjection } from "../projection.ts";
import { decodeDeadLetter } from "../task-codec.ts";
import { allGroups, type Countable, GroupChanges, groupSize, groupsWhere } from "./dead-letter-groups.ts";

const COLUMNS = `task, job_id AS jobId, job_type AS jobType, tenant, resource_id AS resourceId, url, host, code,
  message, attempts, failed_at AS failedAt`;

const CONDITIONS: Readonly<Record<keyof DeadLetterFilter, string>> = {
  code: "code = $code",
  host: "host = $host",
  jobId: "job_id = $jobId",
  jobType: "job_type = $jobType",
  tenant: "tenant = $tenant",
  since: "failed_at >= $since",
  until: "failed_at < $until",
};

/** Filters whose matches a counter holds. */
const COUNTED: Readonly<Partial<Record<keyof DeadLetterFilter, Grouping>>> = {
  code: "code",
  host: "host",
  jobType: "job_type",
};

interface DeadLettersDeps {
  /** The job of an event, from queue.db. */
  readonly jobOf: (seq: number) => JobHeader;
  /** Called before every read. */
  readonly bringUpToDate: () => void;
  readonly onDrift: OnDrift;
}

/** dlq.db: the tasks that failed for good. It is a projection of queue.db. */
export class DeadLetters implements DeadLetterReads, DeadLetterRetention {
  readonly projection: Projection;
  readonly #db: Database;
  readonly #deps: DeadLettersDeps;

  constructor(db: Database, path: string, deps: DeadLettersDeps) {
    this.#db = db;
    this.#deps = deps;
    this.projection = createProjection(db, path, (events) => this.#apply(events));
  }

  /** The database with all committed events applied: reading follows writing. */
  get #current(): Database {
    this.#deps.bringUpToDate();
    return this.#db;
  }

  /** The number of dead letters. */
  async size(): Promise<number> {
    return this.#current.query<{ letters: number }, []>("SELECT letters FROM size").get()?.letters ?? 0;
  }

  /** Dead letters with task ids before `beforeTask`, newest task first. */
  async list(filter: DeadLetterFilter, beforeTask: number, limit: number): Promise<DeadLetterRecord[]> {
    const { where, values } = conditionsOf(filter, "task < $before");
    return this.#current
      .query<DeadLetterRecord, [Record<string, string | number>]>(
        `SELECT ${COLUMNS} FROM dead_letters${where} ORDER BY task DESC LIMIT $limit`,
      )
      .all({ ...values, before: beforeTask, limit });
  }

  /** A dead letter with its attempts and its task, which can run again. */
  async find(task: number): Promise<FullDeadLetter | undefined> {
    const row = this.#current
      .query<DeadLetterRow, [number]>(`SELECT ${COLUMNS}, letter FROM dead_letters WHERE task = ?`)
      .get(task);
    return row === null ? undefined : fullDeadLetter(row);
  }

  /** Matching dead letters with their tasks, with task ids before `beforeTask`, the newest task first. */
  async full(filter: DeadLetterFilter, beforeTask: number, limit: number): Promise<FullDeadLetter[]> {
    const { where, values } = conditionsOf(filter, "task < $before");
    return this.#current
      .query<DeadLetterRow, [Record<string, string | number>]>(
        `SELECT ${COLUMNS}, letter FROM dead_letters${where} ORDER BY task DESC LIMIT $limit`,
      )
      .all({ ...values, before: beforeTask, limit })
      .map(fullDeadLetter);
  }

  /** Dead letters from before `before` (milliseconds since the epoch), the oldest first. */
  async oldest(before: number, limit: number): Promise<DeadLetterRef[]> {
    return this.#current
      .query<DeadLetterRef, [number, number]>(
        `SELECT task AS id, resource_id AS resourceId FROM dead_letters WHERE failed_at < ? ORDER BY failed_at, task
         LIMIT ?`,
      )
      .all(before, limit);
  }

  /** The bytes that dlq.db uses. */
  async bytes(): Promise<number> {
    return usedBytes(this.#current);
  }

  /** Returns up to `limit` free pages to the file system. False if there are too few of them. */
  async giveBackPages(limit: number): Promise<boolean> {
    return giveBackPages(this.#current, limit);
  }

  /** The number of matches. It reads no dead letter if the filter is empty or names one counted group. */
  async count(filter: DeadLetterFilter, atMost?: number): Promise<number> {
    const matches = await this.#countAll(filter, atMost ?? Number.MAX_SAFE_INTEGER);
    return atMost === undefined ? matches : Math.min(matches, atMost);
  }

  async #countAll(filter: DeadLetterFilter, atMost: number): Promise<number> {
    const [[name, key] = [], ...others] = Object.entries(filter).filter(([, value]) => value !== undefined);
    if (name === undefined) return this.size();
    const grouping = COUNTED[name as keyof DeadLetterFilter];
    if (grouping !== undefined && others.length === 0) return groupSize(this.#current, grouping, String(key));
    const { where, values } = conditionsOf(filter);
    return (
      this.#current
        .query<{ n: number }, [Record<string, string | number>]>(
          `SELECT count(*) AS n FROM (SELECT 1 FROM dead_letters${where} LIMIT $atMost)`,
        )
        .get({ ...values, atMost })?.n ?? 0
    );
  }

  /** The groups of the matching dead letters: the largest first, or the latest days. */
  async groups(by: Grouping, filter: DeadLetterFilter, limit: number): Promise<DeadLetterGroup[]> {
    const conditions = conditionsOf(filter);
    return conditions.where === ""
      ? allGroups(this.#current, by, limit)
      : groupsWhere(this.#current, by, conditions, limit);
  }

  #apply(events: readonly Event[]): void {
    let added = 0;
    const groups = new GroupChanges();
    for (const event of events) {
      const { kind } = event;
      if (kind?.$case === "taskFailed") {
        groups.count(this.#insert(event, kind.value), 1);
        added++;
      } else if (kind?.$case === "taskReplayed" || kind?.$case === "letterDropped") {
        const gone = this.#remove(kind.value.task);
        if (gone === undefined) continue;
        groups.count(gone, -1);
        added--;
      }
    }
    if (!groups.write(this.#db) || !this.#addToSize(added)) this.#recount();
  }

  /** False if the number cannot be right. */
  #addToSize(letters: number): boolean {
    return this.#db.query<never, [number]>("UPDATE OR IGNORE size SET letters = letters + ?").run(letters).changes > 0;
  }

  #recount(): void {
    for (const sql of [recountSize(""), dropGroups(""), recountGroups("")]) this.#db.query<never, []>(sql).run();
    this.#deps.onDrift("dead_letters");
  }

  #remove(task: number): Countable | undefined {
    const row = this.#db
      .query<Countable, [number]>(
        "DELETE FROM dead_letters WHERE task = ? RETURNING code, host, job_type AS jobType, failed_at AS failedAt",
      )
      .get(task);
    return row ?? undefined;
  }

  #insert(event: Event, failed: TaskFailed): Countable {
    const { letter } = failed;
    if (letter?.task === undefined) throw new Error(`task ${failed.task} failed without its dead letter`);
    const job = this.#deps.jobOf(event.job);
    this.#db
      .query<
        never,
        [number, number, string, string, string, string, string, string, string, string, number, number, Uint8Array]
      >(
        `INSERT INTO dead_letters (task, job, job_id, job_type, tenant, resource_id, url, host, code, message, attempts,
           failed_at, letter) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        failed.task,
        event.job,
        job.jobId,
        job.jobType,
        job.tenant,
        letter.task.resourceId,
        letter.task.url,
        failed.host,
        failed.code,
        failed.message,
        failed.attempts,
        event.at,
        DeadLetter.encode(letter).finish(),
      );
    return { code: failed.code, host: failed.host, jobType: job.jobType, failedAt: event.at };
  }
}

type DeadLetterRow = DeadLetterRecord & { readonly letter: Uint8Array };

function fullDeadLetter({ letter, ...record }: DeadLetterRow): FullDeadLetter {
  const { task: contents, history } = decodeDeadLetter(letter);
  return { ...record, contents, history };
}

function conditionsOf(
  filter: DeadLetterFilter,
  ...more: readonly string[]
): { where: string; values: Record<string, string | number> } {
  const conditions = [...more];
  const values: Record<string, string | number> = {};
  for (const [name, condition] of Object.entries(CONDITIONS) as [keyof DeadLetterFilter, string][]) {
    const value = filter[name];
    if (value === undefined) continue;
    conditions.push(condition);
    values[name] = value;
  }
  return { where: conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`, values };
}
