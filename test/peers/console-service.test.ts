import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { findBrowser, openPage, type Page } from "../support/browser.ts";
import { click, expectClean, press, shows, visit } from "../support/console-page.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const browser = findBrowser();
if ("reason" in browser) console.warn(`the tests of the console's requests are left out: ${browser.reason}`);

/** A browser whose clock is a day ahead. It keeps the bodies and addresses of the requests with an end. */
const CLOCK_AHEAD = `
  const RealDate = Date;
  Date = class extends RealDate {
    constructor(...given) { super(...(given.length === 0 ? [RealDate.now() + 86_400_000] : given)); }
    static now() { return RealDate.now() + 86_400_000; }
  };
  window.ends = [];
  const send = window.fetch;
  window.fetch = (url, init) => {
    const end = new URL(url, location.href).searchParams.get("until") ?? JSON.parse(init?.body ?? "{}").filter?.until;
    if (end) window.ends.push(end);
    return send(url, init);
  };`;

/** A browser with time limits that are a fiftieth as long once `isShort` is set. It keeps those that the page asked for. */
const SHORT_LIMITS = `
  window.limits = [];
  const limit = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => (window.limits.push(ms), limit(window.isShort ? ms / 50 : ms));`;

/** A browser that gets other states of the disks than the service reports: a full disk needs one of its own. */
const DISK_STATES = `
  const parse = JSON.parse;
  const states = { queue: "ok", ledger: "low", dlq: "full", storage: null };
  JSON.parse = (text) => {
    const value = parse(text);
    for (const row of value?.stores ?? []) row.disk = states[row.store];
    return value;
  };`;

/** A browser in which no request is repeated after a time. */
const NO_REPEATS = `
  const later = window.setTimeout;
  window.setTimeout = (act, ms) => (ms >= 2000 ? 0 : later(act, ms));`;

async function fail(service: Service, origin: Origin, name: string): Promise<string> {
  const resources = [{ id: name, url: `${origin.url}/${name}` }];
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.finished(job);
  return job;
}

function endsOf(page: Page): Promise<string[]> {
  return page.evaluate<string[]>("window.ends");
}

describe.if(!("reason" in browser))("the console and the state of its service", () => {
  test("in a browser whose clock runs ahead, a change leaves what arrived after the dry run", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    await fail(service, origin, "a.txt");
    await using page = await openPage(`${service.url}/console/dead-letters`, CLOCK_AHEAD);
    await click(page, "main .bar button", "Discard 1…");
    await shows(page, "The dry run found 1 dead letter.");
    const dryRun = (await endsOf(page)).at(-1) ?? "";
    expect(Date.parse(dryRun)).toBeLessThanOrEqual(Date.now());
    await fail(service, origin, "b.txt");
    await click(page, "dialog .danger", "Discard 1");
    await shows(page, "Discarded: 1 dead letter.");
    // The number of the button, the dry run and the discard have the same end.
    expect((await endsOf(page)).filter((end) => end === dryRun).length).toBe(3);
    const { entries } = await service.get<{ entries: { resource_id: string }[] }>("/operators/dlq");
    expect(entries.map(({ resource_id: id }) => id)).toEqual(["b.txt"]);

    await service.fetch("/operators/queue/pause", { method: "POST" });
    const submit = () => service.submit({ manifest_version: "v1", resources: [{ id: "c", url: `${origin.url}/c` }] });
    await submit();
    await visit(page, "/console/jobs?until=2100-01-01T00:00:00.000Z");
    await page.until(
      "the dry run finds the job",
      `(() => {
        const dialog = document.querySelector("dialog");
        const text = dialog?.innerText ?? "";
        if (text.includes("found 1 unfinished job")) return true;
        if (text.includes("found 0")) dialog.querySelector(".actions button").click();
        if (dialog === null) document.querySelector("main .bar button:not(:disabled)")?.click();
        return null;
      })()`,
    );
    const later = await submit();
    await click(page, "dialog .danger", "Cancel 1 job");
    await shows(page, "Being cancelled: 1 job.");
    expect((await service.job(later)).status).toBe("queued");
    expectClean(page, service);
  });

  test("a service that hangs is shown as such within the limit, and a change that gets no answer says so", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/system`, SHORT_LIMITS);
    await shows(page, "● live");
    await shows(page, "No operator has changed anything yet.");
    await page.evaluate("window.isShort = true");
    await click(page, "main button", "Pause the queue…");
    service.signal("SIGSTOP");
    await click(page, "dialog .danger", "Pause the queue");
    await shows(page, "The service did not answer within 60 seconds. The change may have happened");
    await shows(page, "○ no answer");
    await shows(page, "Stale since");
    await shows(page, "The service did not answer within 15 seconds.");
    expect(await page.evaluate<number>("document.querySelectorAll('main .stale').length")).toBeGreaterThan(0);
    service.signal("SIGCONT");
    await page.evaluate("document.querySelector('dialog').close()");
    await page.until("the dialog is gone", "document.querySelector('dialog') ? null : true");
    await press(page, "r");
    await shows(page, "● live");
    await shows(page, "no download starts");
    expect(await page.evaluate<number[]>("[...new Set(window.limits)].sort()")).toEqual([15_000, 60_000]);
  });

  test("the system page shows the stores with their disks, and a warning for a disk that is low or full", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/system`, DISK_STATES);
    const cells = await page.until<string[][]>(
      "the table of the stores is there",
      `(rows => rows.length > 0 ? rows.map((row) => [...row.children].map((cell) => cell.innerText)) : null)(
        [...document.querySelectorAll("table")].filter(({ caption }) => caption?.innerText === "Stores and disk")
          .flatMap(({ tBodies }) => [...tBodies[0].rows]))`,
    );
    const size = /^[\d.]+ [kMGT]?B$/;
    const space = /^[\d.]+ [kMGTP]?B of [\d.]+ [kMGTP]B \(\d+ %\)$/;
    expect(cells).toEqual([
      ["queue", expect.stringMatching(size), expect.stringMatching(space), "ok"],
      ["ledger", expect.stringMatching(size), expect.stringMatching(space), "⚠ less than 2 GB free"],
      ["dlq", expect.stringMatching(size), expect.stringMatching(space), "⚠ full"],
      ["storage", "–", expect.stringMatching(space), "–"],
    ]);
    expectClean(page, service);
  });

  test("after a change the page shows the new state at once", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/system`, NO_REPEATS);
    await shows(page, "No operator has changed anything yet.");
    await click(page, "main button", "Pause the queue…");
    await click(page, "dialog .danger", "Pause the queue");
    await shows(page, "no download starts");
    await page.until(
      "the activity has the pause",
      `document.querySelector("td[data-title=Action]")?.innerText === "pause" || null`,
    );
    await click(page, ".banner button", "Resume");
    await page.until("the banner is gone", `document.querySelector(".banner") ? null : true`);
    expectClean(page, service);
  });
});
