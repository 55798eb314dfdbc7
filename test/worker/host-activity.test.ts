import { expect, test } from "bun:test";
import { HostActivity } from "../../src/worker/hosts/host-activity.ts";
import { FakeClock } from "../support/clock.ts";

test("the figures of a host are those of the last five minutes", async () => {
  const clock = new FakeClock();
  const activity = new HostActivity(clock);
  activity.note("a.test", "completed", 100);
  await clock.advance(200_000);
  activity.note("a.test", "failed", 20);
  activity.note("a.test", "failed", 3);
  activity.note("b.test", "completed", 7);
  expect(activity.of("a.test")).toEqual({ completed: 1, failed: 2, bytes: 123 });
  await clock.advance(100_000);
  expect(activity.of("a.test")).toEqual({ completed: 0, failed: 2, bytes: 23 });
  expect([activity.has("a.test"), activity.failing(), activity.hosts()]).toEqual([
    true,
    ["a.test"],
    ["a.test", "b.test"],
  ]);
  await clock.advance(200_000);
  expect([activity.has("a.test"), activity.failing(), activity.hosts()]).toEqual([false, [], []]);
  expect(activity.of("a.test")).toEqual({ completed: 0, failed: 0, bytes: 0 });
});

test("of many hosts the one without an attempt for the longest time is forgotten", () => {
  const activity = new HostActivity(new FakeClock());
  const names = Array.from({ length: 5000 }, (_, i) => `h${i}.test`);
  for (const name of names) activity.note(name, "completed", 1);
  activity.note("h0.test", "failed", 1);
  activity.note("new.test", "completed", 1);
  expect(activity.hosts().length).toBe(5000);
  expect(["h0.test", "h1.test", "h2.test", "new.test"].map((host) => activity.has(host))).toEqual([
    true,
    false,
    true,
    true,
  ]);
});
