/**
 * Kills the compiled binary under load and shows that nothing is lost and nothing counted twice: `bun
 * scripts/crash/main.ts [--rounds=200] [--failpoints] [--power] [--storage=local|s3|both] [--seed=N] [--json]`. Ends
 * with 1 if anything was, and keeps the folder then. S3 needs a server: `bun scripts/with-s3.ts bun
 * scripts/crash/main.ts`.
 */
import { rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import { prepareService } from "../../test/support/service.ts";
import { LOCAL, storagesFor, type TestStorage } from "../../test/support/storage.ts";
import type { Checked } from "./check.ts";
import { failpointNames, failpointRounds } from "./failpoints.ts";
import { HARNESS_SETTINGS, Harness } from "./harness.ts";
import { killRounds } from "./kill-rounds.ts";
import { powerLoss } from "./power-loss.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    failpoints: { type: "boolean", default: false },
    power: { type: "boolean", default: false },
    storage: { type: "string", default: "both" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed);
const tell = (text: string) => console.error(`  ${text}`);
const reports: object[] = [];
let breaches = 0;

if (values.power) await power();
else for (const storage of storages()) await kills(storage);
if (values.json) console.log(JSON.stringify({ seed, breaches, reports }));
process.exit(breaches === 0 ? 0 : 1);

function storages(): readonly TestStorage[] {
  if (values.storage === "local") return [LOCAL];
  const all = storagesFor("the crash harness");
  return values.storage === "s3" ? all.filter((storage) => storage !== LOCAL) : all;
}

async function kills(storage: TestStorage): Promise<void> {
  const startedAt = performance.now();
  const service = await prepareService({
    settings: { ...storage.settings, ...HARNESS_SETTINGS },
    env: storage.env,
  });
  await using harness = await Harness.start({ service, storage, seed });
  const checked = values.failpoints
    ? await failpointRounds(harness, await failpointNames(service), tell)
    : await killRounds(harness, rounds, tell);
  report(values.failpoints ? "failpoints" : `${rounds} kills`, storage.name, harness, checked, startedAt);
  if (checked.breaches.length === 0) await rm(service.folder, { recursive: true });
  else console.log(`kept: ${service.folder}`);
}

async function power(): Promise<void> {
  const result = await powerLoss({ rounds: Math.min(rounds, 20), seed, tell });
  if ("skipped" in result) return console.log(`skipped: ${result.skipped}`);
  for (const { name, harness, checked, startedAt } of result.runs)
    report(name, LOCAL.name, harness, checked, startedAt);
  console.log(
    `control, synchronous=OFF: ${result.lostWithoutSync} acknowledged jobs lost in ${result.controlRounds} rounds`,
  );
  if (result.lostWithoutSync === 0) {
    breaches++;
    console.log("breach: the control lost nothing, so this proves nothing");
  }
}

function report(what: string, where: string, harness: Harness, checked: Checked, startedAt: number): void {
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  const { record, kills: byState, hits } = harness;
  const { jobs, tasks, objects } = checked;
  breaches += checked.breaches.length;
  for (const breach of checked.breaches) console.log(`breach: ${breach}`);
  const states = Object.entries(byState).map(([state, count]) => `${state} ${count}`);
  console.log(`${what}, ${where}, seed ${seed}: ${states.join(", ")}`);
  console.log(
    `  ${record.acknowledged.length} of ${record.submissions.length} submissions acknowledged, ${jobs} jobs, ${tasks} tasks, ` +
      `${objects} objects checked, ${hits} requests at the origin, ${checked.breaches.length} breaches, ${seconds} s`,
  );
  const acknowledged = record.acknowledged.length;
  reports.push({
    what,
    where,
    kills: byState,
    acknowledged,
    jobs,
    tasks,
    objects,
    hits,
    breaches: checked.breaches,
    seconds,
  });
}
