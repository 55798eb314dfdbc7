import { expect, test } from "bun:test";
import { join } from "node:path";

const MOMENTS = join(import.meta.dir, "../../src/cli/terminal/moments.ts");

/** What a process in that zone shows: a process reads its zone once. */
async function shownIn(zone: string): Promise<unknown> {
  const script = `
    const { minuteText, secondText, clockText, dayText } = await import(${JSON.stringify(MOMENTS)});
    const [winter, summer] = ["2026-11-28T23:14:33.900Z", "2026-06-28T23:14:33.900Z"];
    console.log(JSON.stringify([minuteText(winter), secondText(summer), clockText(winter), dayText(winter)]));
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { env: { TZ: zone }, stdout: "pipe" });
  return JSON.parse(await child.stdout.text());
}

test.each([
  ["UTC", "2026-11-28 23:14 UTC", "2026-06-28 23:14:33 UTC", "23:14:33 UTC", "2026-11-28"],
  ["Europe/Berlin", "2026-11-29 00:14 CET", "2026-06-29 01:14:33 CEST", "00:14:33 CET", "2026-11-29"],
  ["Europe/London", "2026-11-28 23:14 GMT", "2026-06-29 00:14:33 BST", "23:14:33 GMT", "2026-11-28"],
  ["America/New_York", "2026-11-28 18:14 EST", "2026-06-28 19:14:33 EDT", "18:14:33 EST", "2026-11-28"],
  ["Asia/Kathmandu", "2026-11-29 04:59 UTC+5:45", "2026-06-29 04:59:33 UTC+5:45", "04:59:33 UTC+5:45", "2026-11-29"],
])("times in %s are local, and say their zone", async (zone, ...shown) => {
  expect(await shownIn(zone)).toEqual(shown);
});
