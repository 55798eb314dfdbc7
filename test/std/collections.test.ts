import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { BoundedMap } from "../../src/std/collections/bounded-map.ts";
import { ExpiringMap } from "../../src/std/collections/expiring-map.ts";

describe("a bounded map", () => {
  const numbers = (map: BoundedMap<number, string>) =>
    Array.from({ length: 20 }, (_, key) => key).filter((key) => map.get(key) !== undefined);

  test("drops the entry that was set first", () => {
    const map = new BoundedMap<number, string>(3);
    for (let key = 0; key < 10; key++) {
      map.set(key, `v${key}`);
      expect(numbers(map)).toEqual([key - 2, key - 1, key].filter((each) => each >= 0));
    }
    expect(map.get(9)).toBe("v9");
    expect(map.size).toBe(3);
  });

  test("counts an entry's age from when it was set last", () => {
    const map = new BoundedMap<number, string>(3);
    for (const key of [0, 1, 2, 0, 3, 4]) map.set(key, "");
    expect(numbers(map)).toEqual([0, 3, 4]);
    map.set(3, "again");
    expect(numbers(map)).toEqual([0, 3, 4]);
    map.set(5, "");
    map.set(6, "");
    expect(numbers(map)).toEqual([3, 5, 6]);
    expect(map.get(3)).toBe("again");
  });

  test("drops the oldest also after entries were deleted, and after it was empty", () => {
    const map = new BoundedMap<number, string>(3);
    for (const key of [0, 1, 2, 3]) map.set(key, "");
    expect([map.delete(1), map.delete(1)]).toEqual([true, false]);
    for (const key of [4, 5]) map.set(key, "");
    expect(numbers(map)).toEqual([3, 4, 5]);
    for (const key of [3, 4, 5]) map.delete(key);
    for (const key of [6, 7, 8, 9]) map.set(key, "");
    expect(numbers(map)).toEqual([7, 8, 9]);
  });

  test("that was full once keeps no memory of what has changed since", () => {
    const map = new BoundedMap<number, number>(640);
    for (let key = 0; key <= 640; key++) map.set(key, key);
    Bun.gc(true);
    const before = heapStats().heapSize;
    for (let step = 0; step < 300_000; step++) map.set(100 + (step % 500), step);
    Bun.gc(true);
    expect(heapStats().heapSize - before).toBeLessThan(5_000_000);
    expect([map.size, map.get(0), map.get(1)]).toEqual([640, undefined, 1]);
  });

  test("agrees with a plain model over many operations", () => {
    const map = new BoundedMap<number, number>(5);
    let model: number[] = [];
    let seed = 7;
    for (let step = 0; step < 20_000; step++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      const key = (seed >> 8) % 12;
      model = model.filter((each) => each !== key);
      if ((seed >> 16) % 4 === 0) map.delete(key);
      else {
        map.set(key, step);
        model = [...model, key].slice(-5);
      }
      const found = Array.from({ length: 12 }, (_, each) => each).filter((each) => map.get(each) !== undefined);
      expect(found).toEqual(model.toSorted((a, b) => a - b));
    }
  });
});

describe("an expiring map", () => {
  test("has an entry until its time is over, its own where one is given", () => {
    let now = 0;
    const map = new ExpiringMap<string>({ monotonic: () => now }, 100, 10);
    map.set("a", "1");
    map.set("b", "2", 300);
    now = 99;
    expect([map.get("a"), map.get("b")]).toEqual(["1", "2"]);
    now = 100;
    expect([map.get("a"), map.get("b")]).toEqual([undefined, "2"]);
    map.set("b", "3");
    now = 200;
    expect(map.get("b")).toBeUndefined();
  });

  test("has a largest size", () => {
    const map = new ExpiringMap<string>({ monotonic: () => 0 }, 100, 2);
    for (const key of ["a", "b", "c"]) map.set(key, key);
    expect(["a", "b", "c"].map((key) => map.get(key))).toEqual([undefined, "b", "c"]);
    map.delete("b");
    expect(map.get("b")).toBeUndefined();
  });
});
