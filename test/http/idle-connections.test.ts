import { beforeAll, describe, expect, test } from "bun:test";
import type { HttpConnection } from "../../src/http/connection.ts";
import { IdleConnections } from "../../src/http/idle-connections.ts";
import type { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { openLine, openSockets, rigClock, watchLeaks } from "./http-rig.ts";
import { type ScriptedOrigin, startOrigin } from "./scripted-origin.ts";

const expectNothingOpen = watchLeaks();

let origin: ScriptedOrigin;
beforeAll(async () => {
  origin = await startOrigin();
});

interface Rig extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly idle: IdleConnections;
  /** Connections that stand, in the order in which they were opened. */
  open(count: number): Promise<HttpConnection[]>;
}

function startRig(): Rig {
  const clock = rigClock();
  const idle = new IdleConnections(clock);
  const opened: HttpConnection[] = [];
  return {
    clock,
    idle,
    async open(count) {
      const connections: HttpConnection[] = [];
      for (let i = 0; i < count; i++) connections.push((await openLine(origin.port, clock)).connection);
      opened.push(...connections);
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const connection of opened) connection.destroy();
      await eventually("their closes", () => origin.sockets.every((socket) => socket.destroyed) || undefined);
    },
  };
}

const names = (connections: readonly HttpConnection[], wanted: readonly (HttpConnection | undefined)[]) =>
  wanted.map((connection) => (connection === undefined ? undefined : connections.indexOf(connection)));

function stillIdle(connections: readonly HttpConnection[]): number[] {
  return [...connections.keys()].filter((i) => connections[i]?.isIdle);
}

describe("idle connections", () => {
  test("the latest of a place is taken first, and each once", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(4);
    for (const [i, connection] of all.entries()) idle.add(i === 3 ? "other" : "place", connection, 4000);
    expect(idle.size).toBe(4);
    const taken = ["place", "place", "place", "place", "other", "other", "nowhere"].map((key) => idle.take(key));
    expect(names(all, taken)).toEqual([2, 1, 0, undefined, 3, undefined, undefined]);
    expect([idle.size, stillIdle(all)]).toEqual([0, [0, 1, 2, 3]]);
  });

  test("can be added again after they were taken", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(2);
    for (const connection of all) idle.add("place", connection, 4000);
    const first = idle.take("place");
    if (first !== undefined) idle.add("place", first, 4000);
    expect(names(all, [idle.take("place"), idle.take("place")])).toEqual([1, 0]);
  });

  test("are good for less than their time, and closed where they are found to be too old", async () => {
    await using rig = startRig();
    const { clock, idle } = rig;
    const all = await rig.open(3);
    for (const [i, connection] of all.entries()) idle.add("place", connection, [4000, 3999, 4001][i] ?? 0);
    clock.tick(3999);
    expect(names(all, [idle.take("place")])).toEqual([2]);
    expect(names(all, [idle.take("place")])).toEqual([0]);
    expect([idle.size, stillIdle(all)]).toEqual([0, [0, 2]]);
  });

  test("of no time at all are never used", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(1);
    for (const connection of all) idle.add("place", connection, 0);
    expect(idle.take("place")).toBeUndefined();
    expect([idle.size, stillIdle(all)]).toEqual([0, []]);
  });

  test("that are too old are closed once in a second, wherever they lead", async () => {
    await using rig = startRig();
    const { clock, idle } = rig;
    const all = await rig.open(4);
    for (const [i, connection] of all.slice(0, 3).entries()) idle.add(`place ${i}`, connection, 1000 + i);
    clock.tick(999);
    idle.dropExpired();
    expect(idle.size).toBe(3);
    clock.tick(1);
    idle.dropExpired();
    expect([idle.size, stillIdle(all)]).toEqual([2, [1, 2, 3]]);
    clock.tick(2);
    idle.dropExpired();
    expect(idle.size).toBe(2);
    clock.tick(998);
    for (const connection of all.slice(3)) idle.add("place", connection, 4000);
    expect([idle.size, stillIdle(all)]).toEqual([1, [3]]);
  });

  test("can be removed in any order, also twice", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(3);
    for (const connection of all) idle.add("place", connection, 4000);
    const [first, second, third] = all;
    for (const connection of [second, second, first]) if (connection !== undefined) idle.remove(connection);
    expect([idle.size, stillIdle(all)]).toEqual([1, [0, 1, 2]]);
    expect(idle.take("place")).toBe(third);
    if (third !== undefined) idle.remove(third);
    expect(idle.take("place")).toBeUndefined();
  });

  test("to one place can be dropped together", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(4);
    for (const [i, connection] of all.entries()) idle.add(i % 2 === 0 ? "place" : "other", connection, 4000);
    idle.dropAll("place");
    idle.dropAll("place");
    idle.dropAll("nowhere");
    expect([idle.size, stillIdle(all)]).toEqual([2, [1, 3]]);
    expect(idle.take("place")).toBeUndefined();
  });

  test("are all closed at the end", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(3);
    for (const [i, connection] of all.entries()) idle.add(`place ${i}`, connection, 4000);
    idle.close();
    expect([idle.size, stillIdle(all), idle.take("place 0")]).toEqual([0, [], undefined]);
  });

  test("to one place are 256 at most: the one that is idle longest goes", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(259);
    const [other, ...ours] = all;
    if (other !== undefined) idle.add("other", other, 4000);
    for (const connection of ours) idle.add("place", connection, 4000);
    expect([
      idle.size,
      names(
        ours,
        ours.filter(({ isIdle }) => !isIdle),
      ),
    ]).toEqual([257, [0, 1]]);
    expect(other?.isIdle).toBe(true);
    expect(names(ours, [idle.take("place")])).toEqual([257]);
  });

  test("are 1024 at most, wherever they lead: the one that is idle longest goes", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const before = openSockets();
    const all = await rig.open(1030);
    for (const [i, connection] of all.entries()) idle.add(`place ${i % 10}`, connection, 4000);
    expect([
      idle.size,
      names(
        all,
        all.filter(({ isIdle }) => !isIdle),
      ),
    ]).toEqual([1024, [0, 1, 2, 3, 4, 5]]);
    // Their descriptors and those of the other side are free.
    await eventually("the closes", () => openSockets() <= before + 2 * 1024 || undefined);
    expect(names(all, [idle.take("place 0"), idle.take("place 5")])).toEqual([1020, 1025]);
  });

  test("of one place that is full leave the others their room", async () => {
    await using rig = startRig();
    const { idle } = rig;
    const all = await rig.open(300);
    for (const [i, connection] of all.entries()) idle.add(i < 10 ? "quiet" : "busy", connection, 4000);
    expect(idle.size).toBe(266);
    expect(names(all, [idle.take("quiet")])).toEqual([9]);
  });
});

test("the origin of these tests closes", async () => {
  await origin[Symbol.asyncDispose]();
});

expectNothingOpen();
