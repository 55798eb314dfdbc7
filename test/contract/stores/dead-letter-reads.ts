import { describe, expect, test } from "bun:test";
import type { FailureCode } from "../../../src/jobs/failure.ts";
import {
  type DeadLetterFilter,
  type DeadLetterGroup,
  type DeadLetterRecord,
  GROUPINGS,
} from "../../../src/jobs/stores/dead-letter-reads.ts";
import { hostOf } from "../../../src/jobs/task.ts";
import type { Verdict } from "../../../src/jobs/verdict.ts";
import {
  acceptance,
  claimAll,
  discard,
  firstOf,
  newJob,
  newTasks,
  present,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, type OpenBackend, recover } from "./backend.ts";

const ALL = Number.MAX_SAFE_INTEGER;
const DAY_MS = 86_400_000;
const DISCARD = discard as Extract<Verdict, { kind: "discard" }>;

/** Dead letters of three jobs, on three days, with several hosts and codes: the newest task first. */
async function someDeadLetters(stores: BackendStores): Promise<DeadLetterRecord[]> {
  const made: DeadLetterRecord[] = [];
  const jobs = [
    ["t1", "default", "DOWNLOAD_HTTP_404"],
    ["t1", "gallery", "DOWNLOAD_HTTP_500"],
    ["t2", "default", "DOWNLOAD_HTTP_404"],
  ] as const satisfies readonly (readonly [string, string, FailureCode])[];
  for (const [tenant, jobType, code] of jobs) {
    const job = newJob({ tenant, jobType, createdAt: stores.clock.now() });
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(4, ["a.test", "b.test:81"]), { job })));
    for (const task of (await claimAll(stores)).toSorted((a, b) => a.id - b.id)) {
      await stores.clock.advance(1000);
      const message = `failed: ${code}`;
      await settle(stores, task, { ...DISCARD, code, message });
      const { url, resourceId } = task.task;
      made.unshift({
        task: task.id,
        jobId: job.jobId,
        jobType,
        tenant,
        resourceId,
        url,
        host: hostOf(url),
        code,
        message,
        attempts: 1,
        failedAt: stores.clock.now(),
      });
    }
    await stores.clock.advance(DAY_MS);
  }
  return made;
}

const FILTERS: [string, (all: readonly DeadLetterRecord[]) => DeadLetterFilter][] = [
  ["nothing", () => ({})],
  ["code", () => ({ code: "DOWNLOAD_HTTP_404" })],
  ["host", () => ({ host: "b.test:81" })],
  ["job", (all) => ({ jobId: present(all[5]).jobId })],
  ["type", () => ({ jobType: "gallery" })],
  ["tenant", () => ({ tenant: "t1" })],
  ["the first time", (all) => ({ since: present(all[6]).failedAt })],
  ["the last time", (all) => ({ until: present(all[6]).failedAt })],
  ["a span of time", (all) => ({ since: present(all[9]).failedAt, until: present(all[2]).failedAt })],
  ["many at once", () => ({ code: "DOWNLOAD_HTTP_404", host: "a.test", jobType: "default", tenant: "t2", since: 0 })],
  ["what no dead letter has", () => ({ code: "DOWNLOAD_TIMEOUT" })],
];

function matches(letter: DeadLetterRecord, { since, until, ...equal }: DeadLetterFilter): boolean {
  if (letter.failedAt < (since ?? 0) || letter.failedAt >= (until ?? ALL)) return false;
  return Object.entries(equal).every(([name, value]) => letter[name as keyof DeadLetterRecord] === value);
}

function groupKey(letter: DeadLetterRecord, by: (typeof GROUPINGS)[number]): string {
  if (by === "day") return new Date(letter.failedAt).toISOString().slice(0, 10);
  return letter[by === "job_type" ? "jobType" : by];
}

/** The groups of some dead letters, by counting them. */
function groupsOf(letters: readonly DeadLetterRecord[], by: (typeof GROUPINGS)[number]): DeadLetterGroup[] {
  const groups = [...Map.groupBy(letters, (letter) => groupKey(letter, by))].map(([key, members]) => ({
    key,
    letters: members.length,
    firstAt: present(members.at(-1)).failedAt,
    lastAt: firstOf(members).failedAt,
    sample: firstOf(members).task,
  }));
  return groups.sort((a, b) =>
    by === "day" ? b.key.localeCompare(a.key) : b.letters - a.letters || a.key.localeCompare(b.key),
  );
}

/** The promises of `DeadLetterReads`. */
export function describeDeadLetterReads(open: OpenBackend): void {
  describe("dead letters", () => {
    test.each(FILTERS)("are listed, counted and grouped by %s", async (_, filterOf) => {
      await using stores = await open();
      const all = await someDeadLetters(stores);
      const filter = filterOf(all);
      const wanted = all.filter((letter) => matches(letter, filter));
      const { deadLetters } = stores;
      expect(await deadLetters.list(filter, ALL, 100)).toEqual(wanted);
      expect(await deadLetters.count(filter)).toBe(wanted.length);
      expect(await deadLetters.count(filter, 2)).toBe(Math.min(2, wanted.length));
      for (const by of GROUPINGS) expect(await deadLetters.groups(by, filter, 100)).toEqual(groupsOf(wanted, by));
      expect(await deadLetters.size()).toBe(all.length);
    });

    test("come page by page, the newest task first", async () => {
      await using stores = await open();
      const all = await someDeadLetters(stores);
      const filter = { host: "a.test" };
      const paged: DeadLetterRecord[] = [];
      for (let before = ALL; ; ) {
        const page = await stores.deadLetters.list(filter, before, 4);
        paged.push(...page);
        const last = page.at(-1);
        if (last === undefined) break;
        before = last.task;
      }
      expect(paged).toEqual(all.filter(({ host }) => host === "a.test"));
      const full = await stores.deadLetters.full(filter, present(paged[2]).task, 2);
      expect(full.map(({ task }) => task)).toEqual([present(paged[3]).task, present(paged[4]).task]);
    });

    test("have their attempts and all that their tasks need to run again", async () => {
      await using stores = await open();
      const task = {
        ...firstOf(newTasks(1)),
        headers: { Cookie: "secret" },
        tags: { a: "b" },
        checksum: "md5:00",
        size: 7,
        contentType: "image/*",
        rejectHtml: true,
        proxyPool: "pool",
        attributes: { metadata: { a: "ä" }, class: "COLD" },
      };
      await stores.now(stores.queue.acceptor.accept(acceptance([task])));
      const claimed = firstOf(await claimAll(stores));
      const attempt = { ...DISCARD.attempt, address: "::1", proxy: "http://p.test", bytes: 12, bodyStart: "00ff" };
      await settle(stores, claimed, { ...DISCARD, attempt });
      await stores.crash();
      const found = present(await stores.deadLetters.find(claimed.id));
      expect([found.contents, found.history]).toEqual([claimed.task, [attempt]]);
      expect(await stores.deadLetters.full({}, ALL, 10)).toEqual([found]);
      expect(await stores.deadLetters.find(claimed.id + 1)).toBeUndefined();
    });

    test("are those of poison tasks, too", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      for (let crash = 1; crash <= 5; crash++) {
        const task = firstOf(await claimAll(stores));
        await stores.now(stores.queue.settlements.markStarted(task));
        await stores.crash();
        await recover(stores);
      }
      expect((await stores.deadLetters.groups("code", {}, 10)).map(({ key }) => key)).toEqual(["TASK_INTERRUPTED"]);
    });

    test("show as many groups as asked for: the largest, or the latest days", async () => {
      await using stores = await open();
      const all = await someDeadLetters(stores);
      for (const filter of [{}, { since: 0 }]) {
        const byCode = await stores.deadLetters.groups("code", filter, 1);
        expect(byCode.map(({ key, letters }) => [key, letters])).toEqual([["DOWNLOAD_HTTP_404", 8]]);
        const days = await stores.deadLetters.groups("day", filter, 2);
        expect(days).toEqual(groupsOf(all, "day").slice(0, 2));
      }
    });

    test("that are replayed or discarded are gone from every figure", async () => {
      await using stores = await open();
      const all = await someDeadLetters(stores);
      const [first, second, ...left] = all;
      const { contents: task, history } = present(await stores.deadLetters.find(present(first).task));
      const { deadLetters } = stores.queue;
      await stores.now(deadLetters.replay([{ id: present(first).task, task, history, availableAt: 0 }]));
      await stores.now(deadLetters.discard([{ id: present(second).task, resourceId: "r" }], "given_up"));
      expect(await stores.deadLetters.list({}, ALL, 100)).toEqual(left);
      expect([await stores.deadLetters.size(), await stores.deadLetters.count({})]).toEqual([10, 10]);
      for (const by of GROUPINGS) expect(await stores.deadLetters.groups(by, {}, 100)).toEqual(groupsOf(left, by));
      await stores.expectTrueCounters();
    });
  });
}
