import { expect, setDefaultTimeout, test } from "bun:test";
import axe, { type AxeResults } from "axe-core";
import { findBrowser, openPage, type Page } from "../support/browser.ts";
import { click, shows } from "../support/console-page.ts";
import { openHost, pasteManifest, signIn, startScene, visit } from "../support/console-scene.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(120_000);

const browser = findBrowser();
if ("reason" in browser) console.warn(`the accessibility checks of the console are left out: ${browser.reason}`);

// Only these rules can have another result in other colours.
const COLOURS = ["color-contrast", "link-in-text-block"];

/** The violations that axe-core finds in the page as it stands: rule, elements and reason. */
async function violations(page: Page, rules: readonly string[] = []): Promise<string[]> {
  const options = { resultTypes: ["violations"], ...(rules.length > 0 && { runOnly: rules }) };
  const found = await page.evaluate<AxeResults["violations"]>(
    `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) => violations)`,
  );
  return found.map(({ id, help, nodes }) => {
    const elements = nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`);
    return `${id}: ${help}: ${elements.join(" | ")}`;
  });
}

const PHONE_WIDTH = 400;

/** The elements that stand out of a narrow page, unless a box of their own scrolls or cuts them. */
async function scrollsSideways(page: Page): Promise<string[]> {
  const wide = `[...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > ${PHONE_WIDTH}).map((each) => each.outerHTML.slice(0, 160))`;
  return page.evaluate(`document.documentElement.scrollWidth > ${PHONE_WIDTH} ? ${wide} : []`);
}

/** Waits until the lines of a chart have a colour. */
function chartsAreIn(page: Page, color: string): Promise<true> {
  const pixel = Buffer.from(`${color.slice(1)}ff`, "hex").readUInt32LE();
  return page.until(
    `a chart is drawn with ${color}`,
    `((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Uint32Array(data.buffer).includes(${pixel}) || null;
    })(document.querySelector("canvas"))`,
  );
}

test.if(!("reason" in browser))(
  "the theme of the header decides the colours, and without one the system does",
  async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console`);
    await shows(page, "There are no jobs yet");
    const seen: Record<string, string> = {};
    for (const theme of ["system", "light", "dark"]) {
      for (const isDark of [false, true]) {
        await page.emulate({ width: 1400, isDark });
        seen[`${theme} on ${isDark ? "dark" : "light"}`] = await page.until(
          `the theme is ${theme}`,
          `document.documentElement.dataset.theme === "${theme}"
          ? [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].join()
          : null`,
        );
      }
      await click(page, "header button", "◐");
    }
    const [light, dark] = ["rgb(255, 255, 255),rgb(27, 31, 36)", "rgb(20, 23, 27),rgb(228, 232, 236)"];
    expect(seen).toEqual({
      "system on light": light,
      "system on dark": dark,
      "light on light": light,
      "light on dark": light,
      "dark on light": dark,
      "dark on dark": dark,
    });
  },
);

test.if(!("reason" in browser))(
  "no page of the console violates a rule of axe-core, light and dark, or scrolls sideways on a phone",
  async () => {
    await using scene = await startScene();
    await using page = await openPage(`${scene.service.url}/console`);
    await page.until("the page asks for a token", `document.querySelector("input[type=password]") ? true : null`);
    const found: Record<string, string[]> = {};
    const check = async (name: string) => {
      await page.evaluate(`document.querySelectorAll("details").forEach((each) => (each.open = true))`);
      await page.emulate({ width: 1400, isDark: false });
      found[name] = await violations(page);
      await page.emulate({ width: PHONE_WIDTH });
      found[`${name} on a phone`] = await scrollsSideways(page);
      await page.emulate({ width: 1400, isDark: true });
      if (name === "overview") await chartsAreIn(page, "#323942");
      found[`${name} in the dark`] = await violations(page, COLOURS);
    };
    // The page's policy forbids scripts of others; the protocol evaluates this one in spite of it.
    await page.evaluate(axe.source);
    await check("sign-in");
    await signIn(page);
    await page.evaluate(axe.source);
    for (const each of scene.pages) {
      await visit(page, each);
      if (each.name === "hosts") await openHost(page);
      if (each.name === "submit") await pasteManifest(page);
      await check(each.name);
      if (each.name !== "dead-letters") continue;
      await page.evaluate(`document.querySelector("main .bar button:not(.plain)").click()`);
      await page.until(
        "the dry run ends",
        `document.querySelector("dialog")?.innerText.includes("dry run found") || null`,
      );
      await check("dialog");
      await page.evaluate(`document.querySelector("dialog").close()`);
    }
    expect(Object.entries(found).filter(([, problems]) => problems.length > 0)).toEqual([]);
    expect(Object.keys(found)).toHaveLength(3 * (scene.pages.length + 2));
    // The check itself works: it finds a fault that is planted.
    await page.evaluate(`document.querySelector("main").append(document.createElement("button"))`);
    expect((await violations(page)).join()).toStartWith("button-name: ");
    await page.emulate({ width: PHONE_WIDTH });
    await page.evaluate(`document.querySelector("main").lastElementChild.style.width = "500px"`);
    expect((await scrollsSideways(page)).length).toBeGreaterThan(0);
  },
);
