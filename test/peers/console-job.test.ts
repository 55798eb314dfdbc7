import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { findBrowser, openPage, type Page } from "../support/browser.ts";
import { click, enter, expectClean, press, shows, type, visit } from "../support/console-page.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const TOKEN = "operator-secret-0123456789";
const AUTHORIZATION = '-H "Authorization: Bearer $FETCHBOX_TOKEN"';
const browser = findBrowser();
if ("reason" in browser) console.warn(`the tests of a job's page are left out: ${browser.reason}`);

function titleOf(page: Page, text: string): Promise<string> {
  return page.until<string>(
    `the button "${text}" has a title`,
    `[...document.querySelectorAll("button")].find((each) => each.innerText.includes("${text}"))?.title || null`,
  );
}

describe.if(!("reason" in browser))("the console on jobs and dead letters", () => {
  test("a cancelled job shows how much was stored, failed and cancelled, and curl gets the token", async () => {
    await using origin = await startOrigin();
    const settings = { "server.auth.tokens": `operator:${TOKEN}` };
    await using service = await startService({ settings, token: TOKEN });
    await using page = await openPage(`${service.url}/console`);
    await type(page, "input[type=password]", TOKEN);
    await click(page, "button", "Sign in");
    await shows(page, `curl ${AUTHORIZATION} -H 'Content-Type: application/json'`);

    const held = origin.hold("/film.mp4", Buffer.alloc(100_000), { bytes: 1000 });
    const urls = [origin.serve("/a", "a"), `${origin.url}/missing`, held.url];
    const resources = urls.map((url, at) => ({ id: `r${at}`, url }));
    const job = await service.submit({ manifest_version: "v1", resources });
    await visit(page, `/console/jobs/${job}`);
    await shows(page, "33 % (1/3) · 1 failed");
    await page.until("the title has the id", `document.title.startsWith("${job} – jobs – FetchBox ") || null`);
    expect(await titleOf(page, "curl")).toBe(`curl ${AUTHORIZATION} ${service.url}/operators/jobs/${job}`);
    await click(page, "main .actions button", "Cancel…");
    await click(page, "dialog .danger", "Cancel the job");
    await shows(page, "33 % (1/3) · 1 failed · 1 cancelled");
    const widths = `[...document.querySelectorAll(".shares-of-job i")].map((each) => Math.round(parseFloat(each.style.width)))`;
    expect(await page.evaluate<number[]>(widths)).toEqual([33, 33, 33]);
    await click(page, "header a", "Jobs");
    await shows(page, "33 % (1/3) · 1 failed · 1 cancelled");
    expectClean(page, service);
  });

  test("a job without dead letters cannot be replayed, and its page has the reason", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const resources = [{ id: "a", url: `${origin.url}/a` }];
    const job = await service.submit({ manifest_version: "v1", resources });
    await service.finished(job);
    await using page = await openPage(`${service.url}/console/jobs/${job}?tab=failures`);
    await click(page, "main .actions button", "Replay failures…");
    await shows(page, "Rate per second");
    for (const rate of ["abc", "0", "-1"]) {
      await type(page, "dialog input", rate);
      await shows(page, "The rate must be a number from 0.001 to 1,000,000, like 5 or 0.5.");
      expect(await page.evaluate<string>("document.querySelector('dialog .command code').innerText")).toEndWith(
        "--rate RATE",
      );
      expect(await page.evaluate<boolean>("document.querySelector('dialog .danger').disabled")).toBe(true);
    }
    await page.evaluate("document.querySelector('dialog').close()");
    const body = JSON.stringify({ filter: { job_id: job } });
    const post = { method: "POST", headers: { "content-type": "application/json" }, body };
    expect((await service.fetch("/operators/dlq/give-up", post)).status).toBe(200);
    await press(page, "r");
    const reason = "The job has no dead letter: each was replayed or discarded, or is past its retention.";
    expect(await titleOf(page, "Replay failures")).toBe(reason);
    await page.until(
      "the tab has the reason",
      `document.querySelector("main .empty")?.innerText === "${reason}" || null`,
    );
    expect(await titleOf(page, "curl")).toBe(`curl ${service.url}/operators/jobs/${job}`);
    expectClean(page, service);
  });

  test("rows that vanished before the change are counted, and the copied address is the page's", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const resources = ["a", "b", "c"].map((id) => ({ id, url: `${origin.url}/${id}` }));
    await service.finished(await service.submit({ manifest_version: "v1", resources }));
    const { entries } = await service.get<{ entries: { task_id: number }[] }>("/operators/dlq");
    await using page = await openPage(`${service.url}/console/dead-letters?code=DOWNLOAD_HTTP_404`);
    await page.until("three rows", `document.querySelectorAll("td.select input").length === 3 || null`);
    expect(await titleOf(page, "address")).toBe(`${service.url}/console/dead-letters?code=DOWNLOAD_HTTP_404`);
    await page.evaluate(`document.querySelectorAll("td.select input").forEach((each) => each.click())`);
    await click(page, "main .bar button", "Discard 3…");
    await shows(page, "The dry run found 3 dead letters.");
    const body = JSON.stringify({ task_ids: [entries[0]?.task_id] });
    const post = { method: "POST", headers: { "content-type": "application/json" }, body };
    expect((await service.fetch("/operators/dlq/give-up", post)).status).toBe(200);
    await click(page, "dialog .danger", "Discard 3");
    await shows(page, "Discarded: 2 of 3 dead letters; 1 was gone.");
    expectClean(page, service);
  });

  test("a filter by an id that is too short says so without a request", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/jobs?id_prefix=abc12`);
    await shows(page, "The id needs its first 8 characters or more; the filter has 5.");
    await visit(page, "/console/jobs?id_prefix=nothexadecimal");
    await shows(page, "The id of a job has only the digits 0 to 9");
    expect(page.requests.filter((url) => url.includes("id_prefix") && url.includes("/operators/"))).toEqual([]);
    await visit(page, "/console/jobs?id_prefix=0192abcd");
    await shows(page, "No job matches the filter.");
    expectClean(page, service);
  });

  test("a filter of dead letters by a job that is no id names the field and the value that it needs", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/dead-letters`);
    await shows(page, "There are no dead letters");
    await enter(page, "Job", "0192abcd");
    await shows(page, "The filter Job needs the whole id of a job, like 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00.");
    const disabled = `[...document.querySelectorAll("main .bar button:disabled")].map(({ innerText }) => innerText)`;
    expect((await page.evaluate<string[]>(disabled)).map((text) => text.split(/[\s…]/)[0])).toEqual([
      "Replay",
      "Discard",
      "NDJSON",
    ]);
    await press(page, "r");
    expect(page.requests.filter((url) => url.includes("job_id") && url.includes("/operators/"))).toEqual([]);
    await enter(page, "Job", "019AB2F4-7c1e-7d3a-9b52-4f6c1d2e3f00");
    await shows(page, "No dead letter matches the filter.");
    expectClean(page, service);
  });

  test("a filter that the service refuses has one error, and the buttons have the reason", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/dead-letters`);
    for (const query of ["code=%3Cimg%20src%3Dx%3E", "since=zzz", "tenant=A%20B"]) {
      await visit(page, `/console/dead-letters?${query}`);
      await shows(page, "The address has a value that the service refuses.");
      await page.until(
        "each button has the reason",
        `[...document.querySelectorAll("main .bar button[aria-disabled], main .bar button:disabled")]
          .filter(({ title }) => title.startsWith("The dead letters are not counted: ")).length === 3 || null`,
      );
      expect(await page.evaluate<number>("document.querySelectorAll('main .error').length")).toBe(1);
    }
    await visit(page, "/console/dead-letters?cursor=zzz");
    await shows(page, "The address has a value that the service refuses.");
    expect(await page.evaluate<number>("document.querySelectorAll('main .error').length")).toBe(1);
    await click(page, "main a", "Show all dead letters.");
    await shows(page, "There are no dead letters");
    await press(page, "/");
    expect(await page.evaluate<string>("document.activeElement.closest('label').innerText")).toBe("Code");
    expectClean(page, service);
  });
});
