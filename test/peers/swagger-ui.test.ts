import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { findBrowser, openPage } from "../support/browser.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const browser = findBrowser();
if ("reason" in browser) console.warn(`the test of Swagger UI in a browser is left out: ${browser.reason}`);

describe.if(!("reason" in browser))("Swagger UI in a browser without a network", () => {
  test("shows every operation, and POST /jobs can be tried out", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    await using page = await openPage(`${service.url}/swagger`);
    const count = await page.until<number>(
      "the operations are there",
      "(n => n > 10 ? n : null)(document.querySelectorAll('.opblock').length)",
    );
    const document = await service.get<{ paths: Record<string, object> }>("/swagger/json");
    expect(count).toBe(Object.values(document.paths).reduce((sum, path) => sum + Object.keys(path).length, 0));
    expect(await page.evaluate<string>("document.querySelector('.info .title').innerText")).toStartWith("FetchBox");

    const block = "document.querySelector('#operations-Jobs-post_jobs')";
    const click = (selector: string) =>
      page.until(`${selector} is there`, `(e => e ? (e.click(), true) : null)(${block}.querySelector('${selector}'))`);
    await click(".opblock-summary-control");
    await click(".try-out__btn");
    const url = origin.serve("/picture.png", "a picture", { type: "image/png" });
    const manifest = JSON.stringify({ manifest_version: "v1", resources: [{ id: "picture.png", url }] });
    await page.until(
      "the body is there",
      `(area => {
        if (!area) return null;
        Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(area, ${JSON.stringify(manifest)});
        area.dispatchEvent(new Event('input', { bubbles: true }));
        area.dispatchEvent(new Event('change', { bubbles: true }));
        return true;
      })(${block}.querySelector('textarea'))`,
    );
    await click(".execute");
    const status = await page.until<string>(
      "it is answered",
      `(cell => cell ? cell.innerText : null)(${block}.querySelector('.live-responses-table tbody .response-col_status'))`,
    );
    expect(status).toStartWith("202");
    const answer = await page.evaluate<string>(`${block}.querySelector('.live-responses-table').innerText`);
    const job = /"job_id": "([0-9a-f-]+)"/.exec(answer)?.[1] ?? "";
    expect((await service.finished(job)).status).toBe("completed");
    expect(page.problems).toEqual([]);
    if (process.env["FETCHBOX_TEST_SCREENSHOT"] !== undefined) {
      await Bun.write(process.env["FETCHBOX_TEST_SCREENSHOT"], await page.screenshot());
    }
  });
});
