import { Database } from "bun:sqlite";
import { join } from "node:path";
import { runBinary } from "../../test/support/binary.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Service } from "../../test/support/service.ts";
import type { Checked } from "./check.ts";
import { type Harness, pause } from "./harness.ts";

const REACH_MS = 60_000;
const CANCEL_EVERY_MS = 200;
/** Only a task that is cancelled after a crash may have stored something: that has to be brought about. */
const REMOVAL = "object.removed";
/** What happens so often that it need not be the first time. */
const COMMON = /job(Accepted|Started|Finished)|task(Completed|Postponed|Failed)|applied/;

/** The names that the binary knows. */
export async function failpointNames(service: Service): Promise<string[]> {
  const env = { ...service.env, FETCHBOX_FAILPOINT: "?" };
  const { stderr } = await runBinary(["serve"], { cwd: service.folder, env });
  return [...stderr.matchAll(/^ {2}(\S+)$/gm)].map(([, name = ""]) => name);
}

/** Lets the service kill itself at every failpoint, and checks what came of it. */
export async function failpointRounds(
  harness: Harness,
  names: readonly string[],
  tell: (text: string) => void,
): Promise<Checked> {
  const unreached: string[] = [];
  const plain = harness.service.env;
  harness.startLoad();
  for (const name of names) {
    if (name.startsWith("recover.") || name === REMOVAL) await killInUpload(harness);
    const times = COMMON.test(name) ? 1 + harness.random(3) : 1;
    // The start with the next one is what recovers from this one.
    Object.assign(harness.service, { env: { ...plain, FETCHBOX_FAILPOINT: `${name}:${times}` } });
    const isReached = await runUntilKilled(harness, name);
    if (!isReached) unreached.push(name);
    harness.kills[name] = (harness.kills[name] ?? 0) + (isReached ? 1 : 0);
    Object.assign(harness.service, { env: plain });
    tell(`${isReached ? "reached" : "not reached"}: ${name}`);
  }
  await harness.service.start();
  const checked = await harness.settleAndCheck();
  checked.breaches.push(...unreached.map((name) => `the failpoint ${name} was not reached`));
  return checked;
}

/** Leaves uploads open, that the next start has to abort: kills until that has come about. */
async function killInUpload(harness: Harness): Promise<void> {
  do {
    await harness.service.start();
    await eventually("an upload is open", () => hasOpenUpload(harness.service) || undefined);
    await harness.service.kill();
  } while (!hasOpenUpload(harness.service));
}

function hasOpenUpload({ folder }: Service): boolean {
  using db = new Database(join(folder, "data/queue/queue.db"), { readonly: true });
  return db.query("SELECT 1 FROM uploads LIMIT 1").get() !== null;
}

/** Starts the service and waits for its end, which may come while it starts. */
async function runUntilKilled(harness: Harness, name: string): Promise<boolean> {
  try {
    await harness.service.start();
  } catch {
    harness.service.takeStderr();
    return true; // within start-up
  }
  const ended = harness.service.ended().then(() => true);
  const late = pause(REACH_MS).then(() => false);
  let isReached: boolean | undefined;
  do {
    if (name === REMOVAL) await harness.cancelLatest();
    isReached = await Promise.race([ended, late, pause(CANCEL_EVERY_MS).then(() => undefined)]);
  } while (isReached === undefined);
  if (!isReached) {
    harness.service.signal("SIGKILL");
    await ended;
  }
  return isReached;
}
