import {
  holds,
  type Idle,
  idle,
  manifestOf,
  read,
  SLOW,
  scaled,
  seconds,
  slow,
  submit,
  THRESHOLDS,
} from "./service.ts";

/** Five readers walk all lists while jobs come in. */
export const options = {
  scenarios: {
    readers: { executor: "constant-vus", vus: 5, duration: seconds(30), exec: "walk" },
    submissions: {
      executor: "constant-arrival-rate",
      rate: 10,
      timeUnit: "1s",
      duration: seconds(30),
      preAllocatedVUs: 20,
      maxVUs: 200,
      exec: "submissions",
    },
  },
  thresholds: { ...THRESHOLDS, slow_submit: ["rate<0.01"] },
};

export function setup(): Promise<Idle> {
  return idle(manifestOf({ resources: scaled(100) }));
}

export async function walk() {
  for (const [path, rows] of [
    ["/operators/jobs?limit=100", "jobs"],
    ["/operators/dlq?limit=100", "entries"],
  ] as const) {
    await pages(path, rows);
  }
}

/** Reads a list to its end and looks that no row comes twice. */
async function pages(path: string, rows: string): Promise<void> {
  const seen = new Set<string>();
  let count = 0;
  let cursor = "";
  do {
    const answer = await read(cursor === "" ? path : `${path}&cursor=${encodeURIComponent(cursor)}`, path);
    for (const row of answer.json(rows) as Record<string, string>[]) {
      seen.add(row["job_id"] ?? String(row["task_id"]));
      count++;
    }
    cursor = (answer.json("next_cursor") as string | null) ?? "";
  } while (cursor !== "");
  holds("no row comes twice", seen.size === count);
}

export async function submissions({ p99Ms }: Idle) {
  const answer = await submit(manifestOf({ resources: scaled(100) }));
  holds("the job is accepted", answer.status === 202);
  slow.add(answer.timings.duration > SLOW * p99Ms);
}
