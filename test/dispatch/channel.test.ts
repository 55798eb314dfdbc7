import { describe, expect, test } from "bun:test";
import { Channel, ChannelClosedError } from "../../src/dispatch/channel.ts";
import { rejectionOf } from "../support/rejection.ts";

const never = new AbortController().signal;

describe("a channel", () => {
  test("gives its items in the order in which they came", async () => {
    const channel = new Channel<number>(3);
    for (const item of [1, 2, 3]) expect(channel.send(item)).toBe(true);
    expect([await channel.receive(never), await channel.receive(never), await channel.receive(never)]).toEqual([
      1, 2, 3,
    ]);
  });

  test("takes as many items as it has room for, and one more for each receiver in line", async () => {
    const channel = new Channel<number>(2);
    const waiting = [channel.receive(never), channel.receive(never)];
    expect(channel.room).toBe(4);
    for (const item of [1, 2, 3, 4]) expect(channel.send(item)).toBe(true);
    expect(channel.room).toBe(0);
    expect(channel.send(5)).toBe(false);
    expect(channel.length).toBe(2);
    expect(await Promise.all(waiting)).toEqual([1, 2]);
  });

  test("serves receivers in the order in which they came", async () => {
    const channel = new Channel<string>(1);
    const order: string[] = [];
    const receivers = ["a", "b", "c"].map((name) => channel.receive(never).then((item) => order.push(name + item)));
    for (const item of ["1", "2", "3"]) channel.send(item);
    await Promise.all(receivers);
    expect(order).toEqual(["a1", "b2", "c3"]);
  });

  test("tells when an item left it, not when one went straight to a receiver", async () => {
    let taken = 0;
    const channel = new Channel<number>(1, () => taken++);
    channel.send(1);
    await channel.receive(never);
    expect(taken).toBe(1);
    const waiting = channel.receive(never);
    channel.send(2);
    expect(await waiting).toBe(2);
    expect(taken).toBe(1);
  });

  test("lets a receiver leave the line, and loses nothing by it", async () => {
    const channel = new Channel<number>(1);
    const leaving = new AbortController();
    const first = channel.receive(never);
    const second = channel.receive(leaving.signal);
    const third = channel.receive(never);
    leaving.abort(new Error("enough"));
    expect(await rejectionOf(second)).toEqual(new Error("enough"));
    expect(channel.room).toBe(3);
    channel.send(1);
    channel.send(2);
    expect([await first, await third]).toEqual([1, 2]);
  });

  test("does not take an item from who leaves just after it was served", async () => {
    const channel = new Channel<number>(1);
    const leaving = new AbortController();
    const served = channel.receive(leaving.signal);
    const other = channel.receive(never);
    channel.send(1);
    leaving.abort(new Error("too late"));
    channel.send(2);
    expect([await served, await other]).toEqual([1, 2]);
  });

  test("gives nothing to who has left before coming", async () => {
    const channel = new Channel<number>(1);
    channel.send(1);
    expect(await rejectionOf(channel.receive(AbortSignal.abort(new Error("gone"))))).toEqual(new Error("gone"));
    expect(await channel.receive(never)).toBe(1);
  });

  test("gives back what nobody took when it is closed, tells the receivers, and takes nothing more", async () => {
    const full = new Channel<number>(2);
    full.send(1);
    full.send(2);
    expect(full.close()).toEqual([1, 2]);
    expect([full.room, full.send(3), full.length]).toEqual([0, false, 0]);
    expect(await rejectionOf(full.receive(never))).toBeInstanceOf(ChannelClosedError);

    const empty = new Channel<number>(2);
    const waiting = [empty.receive(never), empty.receive(never)];
    expect(empty.close()).toEqual([]);
    for (const receiver of waiting) expect(await rejectionOf(receiver)).toBeInstanceOf(ChannelClosedError);
  });
});
