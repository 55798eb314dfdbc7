import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rm } from "node:fs/promises";
import type { Checked } from "../../scripts/crash/check.ts";
import { failpointNames, failpointRounds } from "../../scripts/crash/failpoints.ts";
import { HARNESS_SETTINGS, Harness } from "../../scripts/crash/harness.ts";
import { killRounds } from "../../scripts/crash/kill-rounds.ts";
import { powerLoss } from "../../scripts/crash/power-loss.ts";
import { prepareService } from "../support/service.ts";
import { LOCAL, storagesFor, type TestStorage } from "../support/storage.ts";

setDefaultTimeout(300_000);

/** The short forms of what `scripts/crash` does by hand; a seed of its own each time, which a failure prints. */
const seed = Date.now() % 1_000_000;

async function withHarness(storage: TestStorage, run: (harness: Harness) => Promise<Checked>): Promise<void> {
  const settings = { ...storage.settings, ...HARNESS_SETTINGS };
  const service = await prepareService({ settings, env: storage.env });
  await using harness = await Harness.start({ service, storage, seed });
  const { breaches, jobs, objects } = await run(harness);
  expect([seed, breaches]).toEqual([seed, []]);
  expect(jobs).toBeGreaterThan(10);
  expect(objects).toBeGreaterThan(10);
  await rm(service.folder, { recursive: true });
}

for (const storage of storagesFor("the crash harness")) {
  test(`nothing is lost and nothing counted twice over twenty kills at random moments, on ${storage.name}`, () =>
    withHarness(storage, (harness) => killRounds(harness, 20, () => {})));
}

test("nothing is lost and nothing counted twice where the process ends between any two steps", () =>
  withHarness(LOCAL, async (harness) => {
    const names = await failpointNames(harness.service);
    expect(names.length).toBeGreaterThan(25);
    return failpointRounds(harness, names, () => {});
  }));

describe("a loss of power", () => {
  test("loses nothing that was acknowledged, and much where nothing is synced", async () => {
    const result = await powerLoss({ rounds: 3, seed, tell: () => {} });
    if ("skipped" in result) {
      console.warn(`the test of a loss of power is left out: ${result.skipped}`);
      return;
    }
    for (const { checked } of result.runs) expect([seed, checked.breaches]).toEqual([seed, []]);
    expect(result.lostWithoutSync).toBeGreaterThan(0);
  });
});
