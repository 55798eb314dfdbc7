import { describe, expect, test } from "bun:test";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { QuickHosts } from "../../src/worker/quick-hosts.ts";
import { startRig } from "../support/download-rig.ts";
import { BODY } from "../support/misbehaviours.ts";

const SHA256 = Bun.CryptoHasher.hash("sha256", BODY, "hex");

function quickHosts(host: string): QuickHosts {
  const hosts = new QuickHosts();
  for (let i = 0; i < 64; i++) hosts.came(host, 500);
  return hosts;
}

describe("a host is quick", () => {
  test("after 64 bodies in a row that came within half a second, and not before", () => {
    const hosts = new QuickHosts();
    for (let i = 0; i < 63; i++) hosts.came("a", 500);
    expect(hosts.trusts("a", 1)).toBe(false);
    hosts.came("a", 500);
    expect(hosts.trusts("a", 1)).toBe(true);
    expect(hosts.trusts("b", 1)).toBe(false);
  });

  test("until one is late", () => {
    const hosts = quickHosts("a");
    hosts.came("a", 501);
    expect(hosts.trusts("a", 1)).toBe(false);
    for (let i = 0; i < 63; i++) hosts.came("a", 0);
    expect(hosts.trusts("a", 1)).toBe(false);
    hosts.came("a", 0);
    expect(hosts.trusts("a", 1)).toBe(true);
  });

  test("until one does not come whole", () => {
    const hosts = quickHosts("a");
    hosts.failed("a");
    expect(hosts.trusts("a", 1)).toBe(false);
  });

  test("as long as it is among the ten thousand that came last", () => {
    const hosts = quickHosts("first");
    for (let i = 0; i < 9999; i++) hosts.came(`host-${i}`, 0);
    expect(hosts.trusts("first", 1)).toBe(true);
    hosts.came("one more", 0);
    expect(hosts.trusts("first", 1)).toBe(false);
  });
});

describe("a body that is taken in one piece", () => {
  test("is stored as it is, with its digest", async () => {
    await using rig = await startRig();
    await rig.beQuick();
    const stored = await rig.stored("/ok");
    expect(stored).toMatchObject({ bytes: BODY.length, sha256: SHA256, integrity: "verified" });
    expect(await rig.text()).toBe(BODY);
    expect(await rig.stored("/large/262144")).toMatchObject({ bytes: 262_144 });
    expect(rig.clock.pending).toBe(0);
  });

  test("and is cut short costs no attempt: it is taken again, and watched", async () => {
    await using rig = await startRig();
    await rig.beQuick();
    const cut = rig.run("/stalled-body/1000");
    await rig.head();
    rig.origin.requests[64]?.end();
    expect(await cut).toEqual({ kind: "interrupted", by: "doubt" });
    const watched = rig.failed("/stalled-body/1000");
    await rig.read(1000);
    rig.origin.requests[65]?.end();
    expect((await watched).failure.message).toBe("the body ended after 1000 of 2000 bytes");
    expect(rig.clock.pending).toBe(0);
  });

  test("and does not come in time costs no attempt: it is taken again, and watched, however slow", async () => {
    await using rig = await startRig();
    await rig.beQuick();
    const late = rig.run("/stalled-body/1000");
    await rig.head();
    await rig.clock.advance(30_000);
    expect(await late).toEqual({ kind: "interrupted", by: "doubt" });
    await rig.origin.idle();
    // Others may make the host a quick one again: this task stays watched.
    for (let i = 0; i < 64; i++) await rig.service.call({ ...rig.claimed("/ok"), id: 2 }, new AbortController());
    const watched = rig.failed("/stalled-body/1000");
    await rig.read(1000);
    await rig.clock.advance(29_999);
    await rig.origin.requests.at(-1)?.send("x");
    await rig.read(1001);
    await rig.clock.advance(30_000);
    expect((await watched).attempt).toMatchObject({ code: "DOWNLOAD_TIMEOUT", bytes: 1001, durationMs: 59_999 });
    expect(rig.clock.pending).toBe(0);
  });

  test("is let go when the attempt is stopped", async () => {
    await using rig = await startRig();
    await rig.beQuick();
    const stop = new AbortController();
    const run = rig.run("/stalled-body/1000", {}, stop);
    await rig.head();
    stop.abort(new InterruptedError("shutdown"));
    expect(await run).toEqual({ kind: "interrupted", by: "shutdown" });
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test("is none where a least speed is wanted, or it is larger than 256 KiB", async () => {
    await using rig = await startRig({ minBytesPerSecond: 1 });
    await rig.beQuick();
    const small = rig.failed("/stalled-body/1000");
    await rig.read(1000);
    rig.origin.requests[64]?.end();
    expect((await small).failure.message).toBe("the body ended after 1000 of 2000 bytes");
    await using other = await startRig();
    await other.beQuick();
    const large = other.failed("/stalled-body/131073");
    await other.read(131_073);
    other.origin.requests[64]?.end();
    expect((await large).failure.message).toBe("the body ended after 131073 of 262146 bytes");
  });
});
