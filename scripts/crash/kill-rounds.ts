import type { Checked } from "./check.ts";
import type { Harness } from "./harness.ts";

/** Kills a busy service at random moments, so many times, and checks what came of it. */
export async function killRounds(harness: Harness, rounds: number, tell: (text: string) => void): Promise<Checked> {
  await harness.service.start();
  harness.startLoad();
  for (let round = 1; round <= rounds; round++) {
    await harness.moment();
    await harness.kill();
    if (harness.random(4) === 0) await harness.verify();
    await harness.service.start();
    if (round % 20 === 0) tell(`${round} kills, ${harness.record.acknowledged.length} jobs acknowledged`);
  }
  return harness.settleAndCheck();
}
