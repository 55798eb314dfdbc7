import { openStores } from "../../src/sqlite/stores.ts";
import { systemClock } from "../../src/std/clock.ts";
import { acceptance, newTasks } from "../support/sample-jobs.ts";

// Run by tests: accepts jobs without end in the folder that is its argument, and prints the id of each once it is
// accepted. Prints "locked" and ends where it cannot have the folder.

const SUBMITTERS = 8;
const STAGED_EVERY = 5;

const [, , folder = ""] = process.argv;
const { queue } = openOrSayWhy(folder);

function openOrSayWhy(path: string) {
  try {
    return openStores({
      queuePath: path,
      ledgerPath: path,
      dlqPath: path,
      clock: systemClock,
      onLag: () => {},
      onDrift: () => {},
    });
  } catch (error) {
    process.stdout.write(`${(error as Error).name}\n`);
    process.exit(0);
  }
}

async function submitForEver(): Promise<never> {
  for (let i = 0; ; i++) {
    const some = acceptance(1 + (i % 7));
    const staged = i % STAGED_EVERY === 0 ? await queue.acceptor.stage(some.job, newTasks(10)) : undefined;
    await queue.acceptor.accept({ ...some, staged });
    process.stdout.write(`${some.job.jobId} ${some.tasks.length + (staged?.total ?? 0)}\n`);
  }
}

process.stdout.write("ready\n");
await Promise.all(Array.from({ length: SUBMITTERS }, submitForEver));
