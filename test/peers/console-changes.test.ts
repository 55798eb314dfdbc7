import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findBrowser, openPage, type Page } from "../support/browser.ts";
import { choose, click, expectClean, press, shows, type } from "../support/console-page.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const browser = findBrowser();
if ("reason" in browser) console.warn(`the changes of the console in a browser are left out: ${browser.reason}`);

/** A browser that keeps the texts of the charts. */
const CHART_TEXTS = `
  window.chartTexts = [];
  const draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.chartTexts.push(text);
    return draw.call(this, text, ...place);
  };`;

/** A number that changes where a program parses it and writes it again. */
const DIGITS = "12345678901234567890";

/** The charts of an open host take samples, but none while the page is hidden. */
async function expectSamples(page: Page): Promise<void> {
  // Later polls follow at once.
  await page.evaluate(`(wait => { window.setTimeout = (act, ms) => wait(act, Math.min(ms, 20)); })(window.setTimeout)`);
  await press(page, "r");
  await page.evaluate(`document.querySelector(".host-detail details").open = true`);
  await page.until("it has four samples", `document.querySelector("figure tbody").children.length >= 4 || null`);
  const show = (isHidden: boolean) =>
    page.evaluate(`Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));`);
  const isSample = (url: string) => /operators\/hosts\/127/.test(url);
  await show(true);
  // After as many turns of the timer as several polls take, the number of requests is the same.
  const turns = (count: number) =>
    page.evaluate(`new Promise((done) => {
      const turn = (left) => (left === 0 ? done() : setTimeout(() => turn(left - 1), 20));
      turn(${count});
    })`);
  await turns(5);
  const before = page.requests.filter(isSample).length;
  await turns(20);
  expect(page.requests.filter(isSample)).toHaveLength(before);
  await show(false);
  await eventually("it takes samples again", () => page.requests.filter(isSample).length > before + 1 || undefined);
}

describe.if(!("reason" in browser))("an operator in a browser", () => {
  test("submits a pasted list while the queue is paused, resumes it, and cancels the job", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const held = origin.hold("/film.mp4", Buffer.alloc(100_000), { bytes: 1000 });
    await using page = await openPage(`${service.url}/console/system`);
    await click(page, "main button", "Pause the queue…");
    await click(page, "dialog .danger", "Pause the queue");
    await shows(page, "The queue is paused.");
    await shows(page, "no download starts");

    await click(page, "header a", "Submit");
    await type(page, "textarea", `${held.url}\nno-url\n`);
    await shows(page, "Line 2:");
    const disabled = `document.querySelector("main .filters button").disabled`;
    expect(await page.evaluate<boolean>(disabled)).toBe(true);
    await type(page, "textarea", `${held.url}\n${origin.serve("/a.txt", "a")}\n`);
    await shows(page, "2 resources");
    await click(page, "main .filters button", "Submit 1 job");
    await shows(page, "Accepted: 1 job");
    expect(origin.hits()).toBe(0);
    await click(page, "header ~ .banner button", "Resume");
    await held.reached;
    const [job] = (await service.get<{ jobs: { job_id: string }[] }>("/operators/jobs")).jobs;
    const id = job?.job_id ?? "";
    await eventually("the small file is stored", async () =>
      (await service.job(id)).resource_completed === 1 ? true : undefined,
    );

    await click(page, "main a", id);
    await click(page, "main .actions button", "Cancel…");
    await shows(page, "Not ended yet: 1 resource.");
    await click(page, "dialog .danger", "Cancel the job");
    await shows(page, "The job is being cancelled.");
    expect(await service.finished(id)).toMatchObject({ status: "cancelled", resource_completed: 1 });
    await shows(page, "cancelled");
    expectClean(page, service);
  });

  test("submits a large manifest in parts with all its members, and sees where a broken one breaks", async () => {
    await using origin = await startOrigin();
    await using service = await startService({ settings: { "api.max_resources_per_manifest": 1 } });
    const members = {
      storage: { resource_key_prefix: "2026/" },
      metadata: { order: 4711 },
      attributes: { priority: "low" },
    };
    const resources = ["a", "b"].map((id) => ({ id, url: origin.serve(`/${id}`, id) }));
    const text = JSON.stringify({ manifest_version: "v1", ...members, resources }, null, 2).replace("4711", DIGITS);
    await using page = await openPage(`${service.url}/console/submit`);
    await type(page, "textarea", text.replace(`${DIGITS}\n`, `${DIGITS},\n`));
    await shows(page, "Line 8, column 3: the text is not valid JSON: expected a name");
    expect(await page.evaluate<number>(`document.querySelectorAll("main li").length`)).toBe(1);

    await type(page, "textarea", text);
    await shows(page, "Each of the 2 jobs has these members of the manifest, too: storage, metadata, attributes.");
    await shows(page, "All of the jobs write the same manifest object, 2026/metadata.json");
    await choose(page, "Priority", "high");
    await click(page, "main .filters button", "Submit 2 jobs");
    await shows(page, "Accepted: 2 jobs");
    const { jobs } = await service.get<{ jobs: { job_id: string }[] }>("/operators/jobs");
    const stored = await Promise.all(
      jobs.map(async ({ job_id: id }) => (await service.fetch(`/operators/jobs/${id}/manifest`)).text()),
    );
    const common = { storage: members.storage, attributes: { priority: "high" } };
    expect(stored).toHaveLength(2);
    for (const each of stored) {
      expect(JSON.parse(each)).toMatchObject(common);
      // A browser's numbers have fewer digits.
      expect(each).toContain(DIGITS);
    }
    expectClean(page, service);
  });

  test("names the line of a refused resource, and submits no part of the corrected list twice", async () => {
    await using origin = await startOrigin();
    await using service = await startService({ settings: { "api.max_resources_per_manifest": 1 } });
    const [a, b] = ["a", "b"].map((name) => origin.serve(`/${name}`, name));
    await using page = await openPage(`${service.url}/console/submit`);
    await type(page, "textarea", `${a}\n\nhttp://10.0.0.1/x\n`);
    await click(page, "main .filters button", "Submit 2 jobs");
    await shows(page, "Line 3 (url): ");
    await type(page, "textarea", `${a}\n${b}\n`);
    await page.until(
      "the error of the earlier list is gone",
      `document.querySelector("main [role=alert]") ? null : document.querySelectorAll("main tbody tr").length === 2 || null`,
    );
    await click(page, "main .filters button", "Submit 2 jobs");
    await shows(page, "Accepted: 2 jobs");
    const { jobs } = await service.get<{ jobs: object[] }>("/operators/jobs");
    expect(jobs).toHaveLength(2);
  });

  test("tries a closed host at once, and its tasks go on", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    let isOpen = false;
    const url = origin.answer("/busy", (_request, response) => {
      if (isOpen) response.end("here");
      else response.writeHead(429, { "retry-after": "800" }).end();
    });
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "busy", url }] });
    await eventually("the host is closed", async () => {
      const { hosts } = await service.get<{ hosts: unknown[] }>("/operators/hosts?state=closed");
      return hosts.length > 0 || undefined;
    });
    await using page = await openPage(`${service.url}/console/hosts?state=closed`, CHART_TEXTS);
    await click(page, "main [aria-expanded]", "127.0.0.1");
    await shows(page, "download.host (the default)");
    await shows(page, "The charts start when you open the row");
    await shows(page, "waiting 1");
    // With its first sample a chart covers two minutes, and not a day.
    const times = await page.until<string[]>(
      "the chart has times",
      `(texts => texts.length > 0 ? texts : null)(window.chartTexts.filter((text) => text.includes(":")))`,
    );
    expect(times.filter((text) => !/^\d\d:\d\d:\d\d$/.test(text))).toEqual([]);
    await expectSamples(page);
    isOpen = true;
    await click(page, ".host-detail button", "Try now…");
    await click(page, "dialog .danger", "Try now");
    expect((await service.finished(job)).status).toBe("completed");
    expectClean(page, service);
  });

  test("has to sign in again once the token of the session is no longer valid", async () => {
    const [old, next] = ["operator-secret-old-1234", "operator-secret-new-1234"];
    const env = (token: string) => `OPERATOR=${token}\n`;
    await using service = await startService({
      toml: `[server.auth]\ntokens = ["operator:\${OPERATOR}"]\n`,
      files: { "config/.env": env(old) },
    });
    await using page = await openPage(`${service.url}/console/hosts`);
    await type(page, "input[type=password]", old);
    await click(page, "button", "Sign in");
    await shows(page, "No host matches.");
    writeFileSync(join(service.folder, "config/.env"), env(next));
    service.signal("SIGHUP");
    await eventually("it reloads", () => service.log.includes('"msg":"reloaded"') || undefined);
    // The next request of the open page finds out.
    await press(page, "r");
    const ended = "The session has ended: its time is over, or its token was changed or removed. Sign in again.";
    await shows(page, ended);
    await type(page, "input[type=password]", next);
    await click(page, "button", "Sign in");
    await shows(page, "No host matches.");
    expect(await page.evaluate<string>("location.pathname")).toBe("/console/hosts");
    // An operator who signs out knows the reason.
    await click(page, "button", "Sign out");
    await page.until("the form is there", `document.querySelector("input[type=password]") ? true : null`);
    await page.until("it has no reason", `!document.body.innerText.includes("has ended") || null`);
    expectClean(page, service);
  });
});
