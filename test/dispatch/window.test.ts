import { expect, test } from "bun:test";
import { Window } from "../../src/dispatch/window.ts";
import type { Priority } from "../../src/jobs/job.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import { newJob, newTasks } from "../support/sample-jobs.ts";

let id = 0;
interface Given {
  readonly job?: number;
  readonly priority?: Priority;
  readonly crashes?: number;
  readonly bucket?: string;
}

function claimed(
  host: string,
  { job = 1, priority = "normal", crashes = 0, bucket = "artifacts" }: Given = {},
): ClaimedTask {
  const [task] = newTasks(1, [host]);
  if (task === undefined) throw new Error("there is no task");
  return {
    id: ++id,
    claimId: 1,
    lane: 1,
    job: { ...newJob(), seq: job, priority },
    task: { ...task, bucket },
    host,
    attempts: 0,
    crashes,
    mayHaveStored: false,
    history: [],
    waitingSince: undefined,
  };
}

function windowOf(...tasks: readonly ClaimedTask[]): Window {
  const window = new Window();
  for (const task of tasks) window.push(task);
  return window;
}

/** Sends up to `count` tasks of hosts with room, and returns them. */
function send(window: Window, count: number, hasRoom: (host: string) => boolean = () => true): ClaimedTask[] {
  const sent: ClaimedTask[] = [];
  window.send({ isOpen: () => sent.length < count, hasRoom, send: (task) => sent.push(task) });
  return sent;
}

test("a window sends tasks in the order of their turns, those of a full host excepted", () => {
  const [a1, b1, a2, c1, b2] = ["a", "b", "a", "c", "b"].map((host) => claimed(host)) as [
    ClaimedTask,
    ClaimedTask,
    ClaimedTask,
    ClaimedTask,
    ClaimedTask,
  ];
  const window = windowOf(a1, b1, a2, c1, b2);
  expect(send(window, 2, (host) => host !== "a")).toEqual([b1, c1]);
  expect(send(window, 9)).toEqual([a1, a2, b2]);
  expect([window.size, [...window.hosts()], [...window.buckets()], [...window.jobs()]]).toEqual([0, [], [], []]);
});

test("a window asks once for a host that is full, however many of its tasks wait", () => {
  const window = windowOf(...Array.from({ length: 300 }, () => claimed("a")));
  let asked = 0;
  send(window, 1, () => ++asked < 1);
  expect(asked).toBe(1);
});

test("a window counts its tasks by host, bucket and job, and its suspects", () => {
  const suspect = claimed("a", { crashes: 4, job: 2 });
  const other = claimed("a", { bucket: "other" });
  const window = windowOf(suspect, other);
  expect([window.size, window.ofHost("a"), window.ofBucket("other"), window.suspects]).toEqual([2, 2, 1, 1]);
  expect([...window.jobs()]).toEqual([2, 1]);
  expect(window.find(({ crashes }) => crashes > 0)).toBe(suspect);
  expect(window.takeWhere((task) => task === suspect)).toEqual([suspect]);
  expect([window.size, window.suspects, window.ofBucket("artifacts"), [...window.jobs()]]).toEqual([1, 0, 0, [1]]);
  expect(send(window, 9)).toEqual([other]);
});

test("a window gives back the last tasks of a host, and tasks that came back wait behind the others", () => {
  const tasks = Array.from({ length: 5 }, () => claimed("a"));
  const window = windowOf(...tasks);
  const last = window.takeLast("a", 2);
  expect(last).toEqual(tasks.slice(3));
  for (const task of last) window.push(task);
  expect(window.takeLast("b", 2)).toEqual([]);
  expect(send(window, 9)).toEqual(tasks);
});

test("a window in which tasks come and go unsent sends the others in their order", () => {
  const window = windowOf(claimed("a"));
  for (let i = 0; i < 5000; i++) {
    window.push(claimed(`h${i % 3}`));
    window.takeWhere(({ host }) => host !== "a");
  }
  const late = claimed("b");
  window.push(late);
  expect(send(window, 9).map(({ host }) => host)).toEqual(["a", "b"]);
});

test.each([
  ["low", 2, 4],
  ["normal", 5, 1],
  ["high", 8, 0],
] as const)("a window gives a later job of %s priority its share at once", (priority, share, waits) => {
  const window = windowOf(...Array.from({ length: 100 }, (_, at) => claimed(`a${at}`)));
  send(window, 10);
  for (let at = 0; at < 30; at++) window.push(claimed(`b${at}`, { job: 2, priority }));
  const sent = send(window, 10).map(({ job }) => job.seq);
  expect(sent.filter((job) => job === 2).length).toBe(share);
  expect(sent.indexOf(2)).toBeLessThanOrEqual(waits);
});

test("a window gives a later job its share of one host, too", () => {
  const window = windowOf(...Array.from({ length: 20 }, () => claimed("a")));
  send(window, 4);
  for (let at = 0; at < 3; at++) window.push(claimed("a", { job: 2 }));
  expect(send(window, 6).filter(({ job }) => job.seq === 2).length).toBe(3);
  expect(send(window, 99).length).toBe(13);
});
