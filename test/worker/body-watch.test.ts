import { describe, expect, test } from "bun:test";
import type { Failure } from "../../src/jobs/failure.ts";
import { BodyWatch } from "../../src/worker/download/body-watch.ts";
import { FakeClock } from "../support/clock.ts";

function setup(minBytesPerSecond = 0, idleTimeoutMs = 30_000) {
  const clock = new FakeClock();
  const failures: Failure[] = [];
  const watch = new BodyWatch(clock, { idleTimeoutMs, minBytesPerSecond }, (failure) => failures.push(failure));
  let bytes = 0;
  /** Advances second by second; each second ends with this number of bytes. */
  const receive = async (perSecond: number, seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      await clock.advance(1000);
      watch.received((bytes += perSecond));
    }
  };
  return { clock, watch, receive, codes: () => failures.map(({ code }) => code), failures };
}

describe("silence", () => {
  test("is over its limit exactly then", async () => {
    const { clock, codes, failures } = setup();
    await clock.advance(29_999);
    expect(codes()).toEqual([]);
    await clock.advance(1);
    expect(codes()).toEqual(["DOWNLOAD_TIMEOUT"]);
    expect(failures[0]?.message).toBe("no byte for 30000 ms");
    await clock.advance(100_000);
    expect(codes().length).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test("counts from the last byte", async () => {
    const { clock, watch, codes } = setup();
    for (let i = 1; i <= 10; i++) {
      await clock.advance(29_999);
      watch.received(i);
    }
    await clock.advance(29_999);
    expect(codes()).toEqual([]);
    await clock.advance(1);
    expect(codes()).toEqual(["DOWNLOAD_TIMEOUT"]);
  });

  test("does not count while we are busy, however long, and counts from then on", async () => {
    const { clock, watch, codes } = setup();
    await clock.advance(20_000);
    watch.pause();
    watch.pause();
    await clock.advance(1_000_000);
    watch.resume();
    await clock.advance(29_999);
    expect(codes()).toEqual([]);
    await clock.advance(1);
    expect(codes()).toEqual(["DOWNLOAD_TIMEOUT"]);
  });

  test("has one timer, whatever is received", async () => {
    const { clock, watch } = setup(1000);
    for (let i = 0; i < 1000; i++) {
      watch.pause();
      watch.resume();
      watch.received(i);
    }
    expect(clock.pending).toBe(1);
    watch.stop();
    watch.stop();
    expect(clock.pending).toBe(0);
  });
});

describe("slowness", () => {
  test("is an average below the least speed over 30 s", async () => {
    const { receive, codes, failures } = setup(1000);
    await receive(1200, 60);
    expect(codes()).toEqual([]);
    await receive(100, 32);
    expect(codes()).toEqual(["DOWNLOAD_TOO_SLOW"]);
    expect(failures[0]?.message).toBe("136 bytes per second over 30 s, the minimum is 1000");
  });

  test("is no short dip", async () => {
    const { receive, codes } = setup(1000);
    for (let i = 0; i < 10; i++) {
      await receive(0, 5);
      await receive(3000, 5);
    }
    expect(codes()).toEqual([]);
  });

  test("is not compensated by fast bytes from long ago", async () => {
    const { receive, codes } = setup(1000);
    await receive(1_000_000, 30);
    await receive(1, 61);
    expect(codes()).toEqual(["DOWNLOAD_TOO_SLOW"]);
  });

  test("is one byte a second, which is no silence", async () => {
    const { receive, codes } = setup(2);
    await receive(1, 31);
    expect(codes()).toEqual(["DOWNLOAD_TOO_SLOW"]);
  });

  test("may be any speed without a least one", async () => {
    const { receive, codes } = setup(0);
    await receive(1, 1000);
    expect(codes()).toEqual([]);
  });

  test("does not count while we are busy", async () => {
    const { clock, watch, codes } = setup(1000);
    for (let i = 1; i <= 60; i++) {
      await clock.advance(100);
      watch.received(i * 200);
      watch.pause();
      await clock.advance(9900);
      watch.resume();
    }
    expect(codes()).toEqual([]);
  });

  test("shows in spite of our being busy", async () => {
    const { clock, watch, codes } = setup(1000);
    for (let i = 1; i <= 32; i++) {
      await clock.advance(1000);
      watch.received(i * 900);
      watch.pause();
      await clock.advance(9000);
      watch.resume();
    }
    expect(codes()).toEqual(["DOWNLOAD_TOO_SLOW"]);
  });

  test("is distinguished from silence by the earlier limit", async () => {
    const silent = setup(1000, 5000);
    await silent.clock.advance(60_000);
    expect(silent.codes()).toEqual(["DOWNLOAD_TIMEOUT"]);
  });
});
