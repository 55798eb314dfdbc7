import { expect, test } from "bun:test";
import { Progress } from "../../src/cli/terminal/progress.ts";
import type { JobRecord } from "../../src/jobs/stores/ledger-reads.ts";
import { ActiveDownloads } from "../../src/worker/download/active-downloads.ts";
import { Speedometer } from "../../src/worker/download/speedometer.ts";
import { claimedTask } from "../support/claimed.ts";

function traceOf(bytes: number) {
  return { address: "", proxy: "", httpStatus: 200, bytes, stage: "body" as const };
}

const JOB = { total: 10, completed: 2, failed: 1, cancelled: 0, bytes: 2_000_000 } as JobRecord;
const NAMES = ["a/very/long/folder/with-a-rather-long-name-1.jpg", "a/very/long/folder/with-a-rather-long-name-2.jpg"];

/** The lines of a run after four seconds of 1 MB/s each. */
function rendered(columns: number, rows = 24): string[] {
  const active = new ActiveDownloads();
  const progress = new Progress();
  const downloads = NAMES.map((resourceId, id) => ({ ...claimedTask({ resourceId }), id }));
  const traces = downloads.map(() => traceOf(0));
  for (const [at, claimed] of downloads.entries()) {
    active.begin({ claimed, trace: traces[at] ?? traceOf(0) }, 0);
    active.expect({ claimed }, 8_000_000);
  }
  let lines: string[] = [];
  for (let now = 0; now <= 4000; now += 100) {
    for (const trace of traces) trace.bytes = now * 1000;
    const state = { job: JOB, active: active.list(), bytesReceived: active.bytesReceived, now };
    lines = progress.render(state, rows, columns);
  }
  return lines;
}

test("a wide terminal shows all there is to know, names that keep their ends, and columns that stand below each other", () => {
  expect(rendered(120)).toEqual([
    "[████████░░░░░░░░░░░░]   40%  2/10 stored  1 failed  8.0 MB  2.0 MB/s  7s left",
    expect.stringMatching(/^ {2}a\/very\/.*-name-1\.jpg + {2}50% {4}4\.0 MB {4}1\.0 MB\/s {2}4s left$/),
    expect.stringMatching(/^ {2}a\/very\/.*-name-2\.jpg + {2}50% {4}4\.0 MB {4}1\.0 MB\/s {2}4s left$/),
  ]);
});

test.each([40, 60, 80])("at %d columns no line is longer, the rate stays, and names differ", (columns) => {
  const lines = rendered(columns);
  for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
  expect(lines[0]).toContain("2.0 MB/s");
  expect(lines[0]).toContain("2/10 stored");
  for (const [at, line] of lines.slice(1).entries()) {
    expect(line).toContain(`-${at + 1}.jpg `);
    expect(line).toContain("1.0 MB/s");
  }
});

test("what has no room is counted", () => {
  expect(rendered(80, 3).at(-1)).toBe("  … and 1 more");
});

test("the rate is that of the bytes received, whatever ends, fails and begins meanwhile", () => {
  const active = new ActiveDownloads();
  const speed = new Speedometer();
  let [id, trace] = [0, traceOf(0)];
  let claimed = { ...claimedTask(), id };
  active.begin({ claimed, trace }, 0);
  const speeds: number[] = [];
  for (let now = 0; now <= 20_000; now += 100) {
    speed.note(active.bytesReceived, now);
    if (now >= 1000) speeds.push(speed.perSecond);
    trace.bytes += 100_000;
    if (now % 700 !== 0) continue;
    // The next one; every other time another attempt at the same task.
    const before = claimed;
    trace = traceOf(0);
    if (now % 1400 === 0) id++;
    claimed = { ...claimedTask(), id };
    if (claimed.id !== before.id) active.end({ claimed: before });
    active.begin({ claimed, trace }, now);
    active.end({ claimed: before }); // late, and nothing of it is counted twice
  }
  expect(new Set(speeds.map(Math.round))).toEqual(new Set([1_000_000]));
});

test("a rate follows what changes within seconds, and is 0 where nothing comes or nobody knows", () => {
  const speed = new Speedometer();
  expect(speed.perSecond).toBe(0);
  speed.note(0, 0);
  speed.note(5_000_000, 100);
  expect(speed.perSecond).toBe(0);
  for (let now = 200; now <= 6000; now += 100) speed.note(5_000_000, now);
  expect(speed.perSecond).toBe(0);
  expect(speed.secondsFor(1)).toBeUndefined();
  speed.note(1_000_000, 6100);
  for (let now = 6200; now <= 7100; now += 100) speed.note(1_000_000 + (now - 6100) * 1000, now);
  expect(Math.round(speed.perSecond)).toBe(1_000_000);
});
