import { type Iteration, iterations } from "./iteration.ts";
import type { Metrics } from "./metrics.ts";
import { milliseconds } from "./thresholds.ts";

interface Stage {
  readonly target: number;
  readonly duration: string;
}

/** A scenario as a script gives it: https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/ */
export interface Scenario {
  readonly executor: string;
  readonly exec?: string;
  readonly vus?: number;
  readonly iterations?: number;
  readonly rate?: number;
  readonly startRate?: number;
  readonly timeUnit?: string;
  readonly duration?: string;
  readonly maxDuration?: string;
  readonly stages?: readonly Stage[];
  readonly preAllocatedVUs?: number;
  readonly maxVUs?: number;
}

export interface ScenarioRun {
  readonly name: string;
  readonly scenario: Scenario;
  /** The function of the script that an iteration calls. */
  readonly call: () => Promise<void>;
  readonly metrics: Metrics;
  /** Ends the scenario early; iterations under way finish. */
  readonly signal: AbortSignal;
}

/** Resolves when all iterations of a scenario have ended. */
export type Executor = (run: ScenarioRun) => Promise<void>;

export const EXECUTORS: Readonly<Record<string, Executor>> = {
  "shared-iterations": shared,
  "per-vu-iterations": perVu,
  "constant-vus": constantVus,
  "constant-arrival-rate": constantRate,
  "ramping-arrival-rate": rampingRate,
};

/** Runs one iteration and records its length. An error of the script fails a check that has its message. */
async function iterate(
  { name, call, metrics }: ScenarioRun,
  vu: number,
  count: Count,
  scheduledAt?: number,
): Promise<void> {
  const inTest = count.next++;
  const iteration: Iteration = { scenario: name, vu, inTest, inInstance: inTest, scheduledAt };
  const startedAt = scheduledAt ?? performance.now();
  try {
    await iterations.run(iteration, call);
  } catch (error) {
    metrics.of("checks", "rate").add(false, { check: `no error: ${(error as Error).message}` });
  }
  metrics.of("iterations", "counter").add(1);
  metrics.of("iteration_duration", "trend").add(performance.now() - startedAt);
}

/** The number of the next iteration of a scenario. */
interface Count {
  next: number;
}

async function shared(run: ScenarioRun): Promise<void> {
  const { vus = 1, iterations: total = 1 } = run.scenario;
  const count = { next: 0 };
  await inVus(vus, async (vu) => {
    while (count.next < total && !run.signal.aborted) await iterate(run, vu, count);
  });
}

async function perVu(run: ScenarioRun): Promise<void> {
  const { vus = 1, iterations: each = 1 } = run.scenario;
  const count = { next: 0 };
  await inVus(vus, async (vu) => {
    for (let i = 0; i < each && !run.signal.aborted; i++) await iterate(run, vu, count);
  });
}

async function constantVus(run: ScenarioRun): Promise<void> {
  const { vus = 1, duration = "0s" } = run.scenario;
  const endsAt = performance.now() + milliseconds(duration);
  const count = { next: 0 };
  await inVus(vus, async (vu) => {
    while (performance.now() < endsAt && !run.signal.aborted) await iterate(run, vu, count);
  });
}

async function inVus(vus: number, work: (vu: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: vus }, (_, i) => work(i + 1)));
}

function constantRate(run: ScenarioRun): Promise<void> {
  const { rate = 1, duration = "0s" } = run.scenario;
  return arrivals(run, rate, [{ target: rate, duration }]);
}

function rampingRate(run: ScenarioRun): Promise<void> {
  return arrivals(run, run.scenario.startRate ?? 0, run.scenario.stages ?? []);
}

/**
 * Starts iterations by the schedule, whether earlier ones have ended or not: an open model, in which a slow service
 * does not slow its clients. An iteration without a free virtual user is dropped and counted.
 */
async function arrivals(run: ScenarioRun, startRate: number, stages: readonly Stage[]): Promise<void> {
  const { timeUnit = "1s", preAllocatedVUs = 1, maxVUs = preAllocatedVUs } = run.scenario;
  const free = Array.from({ length: maxVUs }, (_, i) => maxVUs - i);
  const dropped = run.metrics.of("dropped_iterations", "counter");
  const running = new Set<Promise<void>>();
  const count = { next: 0 };
  const startedAt = performance.now();
  for (const dueMs of schedule(startRate, stages, milliseconds(timeUnit))) {
    const scheduledAt = startedAt + dueMs;
    const waitMs = scheduledAt - performance.now();
    if (waitMs > 0) await Bun.sleep(waitMs);
    if (run.signal.aborted) break;
    const vu = free.pop();
    if (vu === undefined) {
      dropped.add(1);
      continue;
    }
    const done: Promise<void> = iterate(run, vu, count, scheduledAt).finally(() => {
      free.push(vu);
      running.delete(done);
    });
    running.add(done);
  }
  await Promise.all(running);
}

const STEP_MS = 1;

/** Milliseconds from the start at which iterations are due, by a rate that changes evenly within each stage. */
export function* schedule(startRate: number, stages: readonly Stage[], unitMs: number): Generator<number> {
  let [stageStart, from, owed] = [0, startRate / unitMs, 1];
  for (const { target, duration } of stages) {
    const [lengthMs, to] = [milliseconds(duration), target / unitMs];
    for (let at = 0; at < lengthMs; at += STEP_MS) {
      for (; owed >= 1; owed--) yield stageStart + at;
      owed += (from + ((to - from) * at) / lengthMs) * STEP_MS;
    }
    stageStart += lengthMs;
    from = to;
  }
}
