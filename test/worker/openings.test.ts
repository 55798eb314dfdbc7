import { expect, test } from "bun:test";
import { Openings } from "../../src/worker/hosts/openings.ts";

test("openings come in their order, those that moved as well, and an opened host leaves", () => {
  const times = new Map([
    ["a", 30],
    ["b", 10],
    ["c", 20],
  ]);
  const openings = new Openings();
  for (const [host, at] of times) openings.note(host, at);
  const opened: string[] = [];
  const next = (since: number) =>
    openings.next(
      since,
      (host) => times.get(host) ?? 0,
      (host) => opened.push(host),
    );
  expect([next(0), openings.size]).toEqual([10, 3]);
  times.set("b", 25); // later: found out by itself
  times.set("a", 15); // earlier: noted
  openings.note("a", 15);
  expect([next(12), next(15), next(20), next(25)]).toEqual([15, 20, 25, undefined]);
  expect(opened).toEqual(["a", "c", "b"]);
  expect([openings.size, openings.has("a")]).toEqual([0, false]);
});

test("a look at the next opening does not look at the hosts that open later", () => {
  const openings = new Openings();
  for (let host = 0; host < 100_000; host++) openings.note(`h${host}`, 1000 + host);
  let looks = 0;
  for (let since = 0; since < 100; since++) {
    openings.next(
      since,
      (host) => {
        looks++;
        return 1000 + Number(host.slice(1));
      },
      () => {},
    );
  }
  expect(looks).toBe(100);
});
