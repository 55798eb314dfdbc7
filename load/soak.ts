import exec from "k6/execution";
import { drained, holds, manifestOf, read, seconds, submit, THRESHOLDS, wait } from "./service.ts";

/**
 * Twenty jobs of ten resources a second, for half an hour. The origin of `scripts/load` fails one request in a hundred
 * under `/faulty/`.
 */
export const options = {
  scenarios: {
    soak: {
      executor: "constant-arrival-rate",
      rate: 20,
      timeUnit: "1s",
      duration: seconds(1800),
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
    memory: { executor: "per-vu-iterations", vus: 1, iterations: 1, exec: "memory", maxDuration: seconds(1830) },
  },
  thresholds: THRESHOLDS,
  teardownTimeout: "600s",
};

const SAMPLES = 60;
/** The most that the last quarter may lie above the second one, which is warm. */
const GROWTH = 1.15;
const SAMPLE_MS = (Number.parseInt(seconds(1800), 10) * 1000) / SAMPLES;
/** Hosts of their own, as in a crawl: a host that fails slows only its own downloads. */
const HOSTS = 50;
const manifests = Array.from({ length: HOSTS / 10 }, (_, at) =>
  manifestOf({ resources: 10, path: "/faulty/10240/", hosts: HOSTS, from: at * 10 }),
);

export default async function soak() {
  holds(
    "the job is accepted",
    (await submit(manifests[exec.scenario.iterationInTest % manifests.length] ?? "")).status === 202,
  );
}

/** Looks that the memory of the process does not grow. */
export async function memory() {
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const { body } = await read("/metrics", "metrics");
    samples.push(Number(/^process_resident_memory_bytes (\S+)$/m.exec(body)?.[1]));
    if (i < SAMPLES - 1) await wait(SAMPLE_MS);
  }
  const quarter = SAMPLES / 4;
  const [second, last] = [mean(samples.slice(quarter, 2 * quarter)), mean(samples.slice(3 * quarter))];
  holds("memory does not grow", last <= second * GROWTH);
}

export async function teardown() {
  await drained();
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
