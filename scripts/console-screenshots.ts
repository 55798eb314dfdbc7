/**
 * Writes pictures of every page of the console, wide and narrow, light and dark, into a folder:
 * `bun scripts/console-screenshots.ts [FOLDER] [SECONDS]`. The service works for that many seconds first, so that the
 * charts show something.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openPage } from "../test/support/browser.ts";
import { type } from "../test/support/console-page.ts";
import { openHost, pasteManifest, type Scene, signIn, startScene, visit } from "../test/support/console-scene.ts";

const [folder = "data/screenshots", seconds = "60"] = process.argv.slice(2);
const WIDTHS = [1400, 400];

await mkdir(folder, { recursive: true });
await using scene = await startScene();
await work(scene, Number(seconds));
await using page = await openPage(`${scene.service.url}/console`);
await page.until("the page asks for a token", `document.querySelector("input[type=password]") ? true : null`);
await take("sign-in");
await signIn(page);
for (const each of scene.pages) {
  await visit(page, each);
  if (each.name === "hosts") await openHost(page);
  if (each.name === "submit") await pasteManifest(page);
  await take(each.name);
  if (each.name !== "dead-letters") continue;
  await page.evaluate(`document.querySelector("main .bar button:not(.plain)").click()`);
  await page.until("the dry run ends", `document.querySelector("dialog")?.innerText.includes("dry run found") || null`);
  await type(page, "dialog textarea", "Cookie: session=0123abcd");
  await take("dialog");
  await page.evaluate(`document.querySelector("dialog").close()`);
}
if (page.problems.length > 0) console.error(page.problems.join("\n"));

/** Submits jobs of different sizes, one after another. */
async function work({ submitStored, service }: Scene, forSeconds: number): Promise<void> {
  const end = Date.now() + forSeconds * 1000;
  for (let at = 0; Date.now() < end; at++) {
    const job = await submitStored(60 + Math.round(240 * Math.abs(Math.sin(at / 7))));
    await service.finished(job);
    await Bun.sleep(2000);
  }
}

async function take(name: string): Promise<void> {
  for (const width of WIDTHS) {
    for (const isDark of [false, true]) {
      await page.emulate({ width, isDark });
      // The next poll draws the charts in the other colours.
      await Bun.sleep(300);
      const file = join(folder, `${name}-${width}-${isDark ? "dark" : "light"}.png`);
      await writeFile(file, await page.screenshot());
    }
  }
}
