import { describe, expect, test } from "bun:test";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { turn } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";

const REF = { bucket: "artifacts", key: "a/b" };
const OTHER = { bucket: "artifacts", key: "a/c" };
const never = new AbortController().signal;
const nothing = () => Promise.resolve();

describe("a removal", () => {
  test("runs only where nobody but its owner holds the key", async () => {
    const keys = new KeyGuard();
    const [first, second] = [keys.hold(REF), keys.hold(REF)];
    expect(await keys.remove(REF, nothing)).toBe(false);
    expect(await keys.remove(REF, nothing, 1)).toBe(false);
    expect(await keys.remove(OTHER, nothing)).toBe(true);
    first();
    first();
    expect(await keys.remove(REF, nothing, 1)).toBe(true);
    expect(await keys.remove(REF, nothing)).toBe(false);
    second();
    expect(await keys.remove(REF, nothing)).toBe(true);
  });

  test("holds up the uploads of its key, and no second one runs beside it, until it has ended, well or not", async () => {
    const keys = new KeyGuard();
    const work = Promise.withResolvers<void>();
    const removal = keys.remove(REF, () => work.promise);
    const letGo = keys.hold(REF);
    let isQuiet = false;
    const quiet = Promise.resolve(keys.quiet(REF, never)).then(() => {
      isQuiet = true;
    });
    await keys.quiet(OTHER, never);
    expect(await keys.remove(REF, nothing, 1)).toBe(false);
    await turn();
    expect(isQuiet).toBe(false);
    work.reject(new Error("away"));
    expect(String(await rejectionOf(removal))).toBe("Error: away");
    await quiet;
    letGo();
    expect(await keys.remove(REF, nothing)).toBe(true);
  });

  test("lets an upload that is aborted go", async () => {
    const keys = new KeyGuard();
    const stop = new AbortController();
    void keys.remove(REF, () => new Promise(() => {}));
    const waiting = rejectionOf(Promise.resolve(keys.quiet(REF, stop.signal)));
    stop.abort(new Error("cancelled"));
    expect(String(await waiting)).toBe("Error: cancelled");
    expect(String(await rejectionOf(Promise.resolve(keys.quiet(REF, stop.signal))))).toBe("Error: cancelled");
  });
});
