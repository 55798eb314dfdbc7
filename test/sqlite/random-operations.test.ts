import { expect, test } from "bun:test";
import { QueueFullError, type StagedJob } from "../../src/jobs/stores/acceptor.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Verdict } from "../../src/jobs/verdict.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { acceptance, complete, discard, newJob, newTasks, release, retryAt, snoozeUntil } from "../support/sample-jobs.ts";

const HOSTS = ["a.test", "b.test", "c.test:81"];

/** Mulberry32: small, seeded, good enough to wander about. Gives integers from 0 to `below` - 1. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) % below;
  };
}

/** Operations of clients, a broker and workers in a random order, with crashes and restarts. */
class Wanderer {
  readonly #stores: TestStores;
  readonly #random: (below: number) => number;
  #claimed: ClaimedTask[] = [];
  /** Claims that were settled, or were out at a crash: each must stay without effect. */
  #stale: ClaimedTask[] = [];
  #staged: { readonly job: ReturnType<typeof newJob>; readonly staged: StagedJob }[] = [];
  #underWay: Promise<unknown>[] = [];
  #life = 0;
  /** What went wrong that may not. */
  readonly unexpected: unknown[] = [];

  constructor(stores: TestStores, random: (below: number) => number) {
    this.#stores = stores;
    this.#random = random;
  }

  async step(): Promise<void> {
    const dice = this.#random(1000);
    if (dice < 120) this.#accept();
    else if (dice < 150) this.#stage();
    else if (dice < 400) await this.#claim();
    else if (dice < 800) this.#settle();
    else if (dice < 815) await this.#cancel();
    else if (dice < 860) await this.#takeLetters();
    else if (dice < 890) this.#settleStale();
    else if (dice < 930) await this.#commit();
    else if (dice < 985) await this.#stores.clock.advance(this.#random(3000));
    else if (dice < 990) this.#stores.stores.outbox.trim();
    else if (dice < 995) this.#stores.clock.jump(this.#random(2000) - 1000);
    else await this.#restart();
  }

  async #commit(): Promise<void> {
    this.#stores.queue.flush();
    await Promise.all(this.#underWay.splice(0));
  }

  async finish(): Promise<void> {
    await this.#commit();
    await this.#restart();
    for (;;) {
      await this.#stores.clock.advance(10_000);
      await this.#claim();
      await this.#commit();
      if (this.#claimed.length === 0) break;
      while (this.#claimed.length > 0) this.#settle();
      await this.#commit();
    }
    while ((await this.#stores.queue.cancellations.cancelling()).length > 0) {
      await this.#sweepCancelled();
      await this.#commit();
    }
  }

  #accept(): void {
    const [ready] = this.#staged.splice(0, this.#random(2));
    const job = ready?.job ?? newJob({ createdAt: this.#stores.clock.now() });
    const more = { job, staged: ready?.staged, pendingMax: 400 };
    const tasks = newTasks(1 + this.#random(8), HOSTS.slice(this.#random(HOSTS.length)));
    this.#run(this.#stores.queue.acceptor.accept(acceptance(tasks, more)));
  }

  #stage(): void {
    const job = newJob({ createdAt: this.#stores.clock.now() });
    const before = this.#random(2) === 0 ? this.#staged.pop() : undefined;
    this.#run(
      this.#stores.queue.acceptor
        .stage(before?.job ?? job, newTasks(1 + this.#random(5), HOSTS), before?.staged)
        .then((staged) => {
          if (this.#random(4) === 0) this.#run(this.#stores.queue.acceptor.unstage(staged));
          else this.#staged.push({ job: before?.job ?? job, staged });
        }),
    );
  }

  async #claim(): Promise<void> {
    const requests = (await this.#stores.queue.source.lanes(20)).map(({ id }) => ({
      lane: id,
      limit: 1 + this.#random(6),
    }));
    this.#run(this.#stores.queue.source.claim(requests).then((tasks) => this.#claimed.push(...tasks)));
  }

  #settle(): void {
    const [claimed] = this.#claimed.splice(this.#random(Math.max(1, this.#claimed.length)), 1);
    if (claimed === undefined) return;
    this.#stale.push(claimed);
    this.#run(
      this.#stores.queue.settlements
        .settle({ claimed, verdict: this.#verdict() })
        .then((settled) => expect(settled).toBe(true)),
    );
  }

  #settleStale(): void {
    const claimed = this.#stale[this.#random(Math.max(1, this.#stale.length))];
    if (claimed === undefined) return;
    this.#run(
      this.#stores.queue.settlements
        .settle({ claimed, verdict: this.#verdict() })
        .then((settled) => expect(settled).toBe(false)),
    );
  }

  async #cancel(): Promise<void> {
    const live = this.#stores.read<{ job_id: string }>("queue", "SELECT job_id FROM jobs WHERE finished_at IS NULL");
    const job = live[this.#random(Math.max(1, live.length))];
    if (job !== undefined) this.#run(this.#stores.queue.cancellations.request(job.job_id));
    await this.#sweepCancelled();
  }

  async #sweepCancelled(): Promise<void> {
    const { queue } = this.#stores;
    for (const job of await queue.cancellations.cancelling()) {
      const waiting = queue.cancellations.waiting(job, 0, 1 + this.#random(10));
      this.#run(
        waiting.then((tasks) =>
          queue.cancellations.cancelWaiting(
            job,
            tasks.map(({ id }) => id),
          ),
        ),
      );
    }
  }

  /** Replays or drops some dead letters, some of them twice. */
  async #takeLetters(): Promise<void> {
    const { queue, stores, clock } = this.#stores;
    const letters = await stores.deadLetters.list({}, Number.MAX_SAFE_INTEGER, 1 + this.#random(4));
    if (this.#random(3) === 0) {
      const dropped = letters.map(({ task, resourceId }) => ({ id: task, resourceId }));
      this.#run(queue.deadLetters.discard([...dropped, ...dropped], "given_up"));
      return;
    }
    const found = await Promise.all(letters.map(({ task }) => stores.deadLetters.find(task)));
    const replays = found.flatMap((letter) => {
      if (letter === undefined) return [];
      const { task, contents, history } = letter;
      return [{ id: task, task: contents, history, availableAt: clock.steady() + this.#random(2000) }];
    });
    this.#run(queue.deadLetters.replay(replays));
    this.#run(queue.deadLetters.replay(replays).then((again) => expect(again).toBe(0)));
  }

  #verdict(): Verdict {
    const now = this.#stores.clock.steady();
    const verdicts: Verdict[] = [
      complete,
      complete,
      complete,
      discard,
      { kind: "cancel" },
      release,
      retryAt(now + this.#random(5000)),
      snoozeUntil(now + this.#random(5000), now),
    ];
    return verdicts[this.#random(verdicts.length)] ?? complete;
  }

  async #restart(): Promise<void> {
    if (this.#random(2) === 0) await this.#commit();
    this.#life++;
    this.#stores.crash();
    await Promise.allSettled(this.#underWay.splice(0)); // what had not been committed is rejected
    this.#stale.push(...this.#claimed.splice(0));
    this.#staged = [];
    await this.#stores.queue.recover(() => Promise.resolve());
    await expectTrueCounters(this.#stores);
  }

  #run(work: Promise<unknown>): void {
    const life = this.#life;
    this.#underWay.push(
      work.catch((error: unknown) => {
        // A full queue refuses, and a crash takes along what was not committed: that is among what is tested.
        if (!(error instanceof QueueFullError) && life === this.#life) this.unexpected.push(error);
      }),
    );
  }
}

for (const seed of [1, 2, 3, 4]) {
  test(`counters are recounts and nothing is lost after random operations, crashes included (seed ${seed})`, async () => {
    await using stores = openTestStores();
    const wanderer = new Wanderer(stores, randomFrom(seed));
    for (let i = 0; i < 3000; i++) await wanderer.step();
    await wanderer.finish();
    expect(wanderer.unexpected).toEqual([]);
    await expectTrueCounters(stores);
    expect(stores.drifts).toEqual([]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
    const ended = stores.read<{ n: number }>("ledger", "SELECT count(*) AS n FROM results")[0]?.n ?? 0;
    expect(ended).toBeGreaterThan(500);
    stores.stores.outbox.trim();
    expect(stores.stores.outbox.length).toBe(0);
  }, 60_000);
}
