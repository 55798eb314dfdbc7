import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { hostname } from "node:os";
import { BINARY } from "../support/binary.ts";
import { findBrowser, openPage } from "../support/browser.ts";
import { choose, click, expectClean, press, shows, type, visit } from "../support/console-page.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const OPERATOR = "operator-secret-0123456789";
const READER = "reader-secret-0123456789";
const browser = findBrowser();
if ("reason" in browser) console.warn(`the tests of the console in a browser are left out: ${browser.reason}`);

describe.if(!("reason" in browser))("the console in a browser without a network", () => {
  test("a token signs in, its role decides what can be done, and a sign-out ends it", async () => {
    const tokens = `operator/alice:${OPERATOR},read:${READER}`;
    await using service = await startService({ settings: { "server.auth.tokens": tokens }, token: OPERATOR });
    await using page = await openPage(`${service.url}/console/jobs`);
    await type(page, "input[type=password]", "not-a-token-0123456789");
    await click(page, "button", "Sign in");
    await shows(page, "UNAUTHORIZED");
    await type(page, "input[type=password]", READER);
    await click(page, "button", "Sign in");
    await shows(page, "There are no jobs yet");
    const disabled = `[...document.querySelectorAll("button:disabled")].map((each) => each.title)`;
    expect(await page.evaluate<string[]>(disabled)).toEqual([
      "It needs a token with the role operator; yours is read.",
    ]);
    expect(await page.evaluate<string>("JSON.stringify({ ...localStorage, ...sessionStorage })")).not.toContain(READER);
    expect(await page.evaluate<string>("document.cookie")).toBe("");
    await click(page, "button", "Sign out");
    await type(page, "input[type=password]", OPERATOR);
    await click(page, "button", "Sign in");
    await click(page, "button", "Cancel matching…");
    await shows(page, "The dry run found 0 unfinished jobs.");
    expectClean(page, service);
  });

  test("a session with the role submit starts at the jobs, and cannot follow links that need another role", async () => {
    const token = "submit-secret-0123456789";
    await using origin = await startOrigin();
    await using service = await startService({
      settings: { "server.auth.tokens": `submit:${token},operator:${OPERATOR}` },
      token: OPERATOR,
    });
    const url = origin.serve("/a.txt", "a");
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "a.txt", url }] });
    await service.finished(job);
    await using page = await openPage(`${service.url}/console`);
    await type(page, "input[type=password]", token);
    await click(page, "button", "Sign in");
    await shows(page, "completed");
    expect(await page.evaluate<string>("location.pathname")).toBe("/console/jobs");
    // The role may not read the overview, but its user needs to know the instance, too.
    await page.until(
      "the header names the instance",
      `document.querySelector("header .instance")?.innerText === ${JSON.stringify(hostname())} || null`,
    );
    expect(await page.evaluate<string>("document.title")).toBe(`jobs – FetchBox ${hostname()}`);
    expect(await page.evaluate<string>("document.querySelector('.live').innerText")).toStartWith("● live ");
    // The submit page asks the service for nothing, so the time since the last answer would only grow.
    await click(page, "header a", "Submit");
    await shows(page, "Paste URLs");
    await page.until("the header shows no state of the service", `document.querySelector(".live") ? null : true`);
    await click(page, "header a", "Jobs");
    await shows(page, "● live ");
    const links = await page.evaluate<(string | null)[][]>(
      `[...document.querySelectorAll("header nav a")].map((each) => [each.textContent, each.getAttribute("href")])`,
    );
    const reason = "It needs a token with the role read; yours is submit.";
    expect(links.filter(([, href]) => href === null)).toEqual(
      ["Overview", "Downloads", "Hosts", "Dead letters", "Operations", "System"].map((title) => [
        `${title} (disabled: ${reason})`,
        null,
      ]),
    );
    await click(page, "main a", job.slice(0, 18));
    await shows(page, "a.txt");
    await click(page, ".tabs a", "Log");
    await shows(page, "job accepted");
    await click(page, ".tabs a", "Manifest");
    await shows(page, reason);
    await press(page, "g");
    await press(page, "h");
    await shows(page, `${reason} Go to the jobs.`);
    expect(await page.evaluate<number>("document.querySelectorAll('.error').length")).toBe(0);
    expectClean(page, service);
  });

  test("a filter that a list does not know shows no list, so that no change matches too much", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/jobs?tenat=a`);
    await shows(page, "The address has a filter that this list does not know: tenat.");
    expect(await page.evaluate<number>("document.querySelectorAll('main button').length")).toBe(0);
    await click(page, "main a", "Show the list without filters.");
    await shows(page, "There are no jobs yet");
    expectClean(page, service);
  });

  test("the page says so if the service does not answer at its start, or to a button without a dialog", async () => {
    await using service = await startService();
    await service.fetch("/operators/queue/pause", { method: "POST" });
    let isUp = false;
    using proxy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url, method }) => {
        const { pathname, search } = new URL(url);
        if (!isUp && pathname.startsWith("/operators/")) return new Response("", { status: 502 });
        return fetch(`${service.url}${pathname}${search}`, { method, headers: { "accept-encoding": "identity" } });
      },
    });
    await using page = await openPage(new URL("/console/jobs", proxy.url).href);
    const says = "The answer has the status 502.";
    await shows(page, `The service did not answer: ${says} Load the page again.`);
    isUp = true;
    await page.evaluate("location.reload()");
    await shows(page, "● live");
    await shows(page, "no download starts");
    isUp = false;
    await click(page, ".banner button", "Resume");
    await page.until(
      "the status line has the error",
      `document.querySelector(".status-line").innerText.includes(
      ${JSON.stringify(says)}) || null`,
    );
    await shows(page, "○ no answer");
  });

  test("a running job is on the overview, and its page follows its log to the end", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const held = origin.hold("/large.bin", Buffer.alloc(200_000, 1), { bytes: 1000 });
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "large.bin", url: held.url }] });
    await held.reached;
    await using page = await openPage(`${service.url}/`);
    await shows(page, "1/8");
    expect(await page.evaluate<string>("location.pathname")).toBe("/console");
    await press(page, "g");
    await press(page, "j");
    await shows(page, "in progress");
    await press(page, "j");
    await press(page, "Enter");
    await shows(page, "large.bin");
    expect(await page.evaluate<string>("location.pathname")).toBe(`/console/jobs/${job}`);
    await click(page, ".tabs a", "Log");
    await shows(page, "job accepted");
    expect(await page.evaluate<string>("document.querySelector('.filters .status').innerText")).toBe("live");
    held.release();
    await shows(page, "resource stored");
    await shows(page, "ended");
    await shows(page, "completed");
    await click(page, "header a", "Downloads");
    await shows(page, "No download runs now");
    expectClean(page, service);
  });

  test("the log of a job goes on after an outage, and stops with the reason if the service refuses it", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const held = origin.hold("/large.bin", Buffer.alloc(200_000, 1), { bytes: 1000 });
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "large.bin", url: held.url }] });
    await held.reached;
    let logs: "unavailable" | "there" | "gone" = "unavailable";
    const asked = { logs: 0, other: 0 };
    using proxy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: ({ url, headers }) => {
        const { pathname, search } = new URL(url);
        const isLog = pathname.endsWith("/logs");
        asked[isLog ? "logs" : "other"] += 1;
        if (isLog && logs === "unavailable") return new Response("", { status: 503 });
        const path = isLog && logs === "gone" ? pathname.replace(job, crypto.randomUUID()) : pathname;
        const accept = headers.get("accept") ?? "*/*";
        return fetch(`${service.url}${path}${search}`, { headers: { accept, "accept-encoding": "identity" } });
      },
    });
    await using page = await openPage(new URL(`/console/jobs/${job}?tab=log`, proxy.url).href);
    // Later polls and retries follow at once.
    await page.evaluate(
      `(wait => { window.setTimeout = (act, ms) => wait(act, Math.min(ms, 20)); })(window.setTimeout)`,
    );
    await shows(page, "The answer has the status 503.");
    await shows(page, "interrupted");
    logs = "there";
    await shows(page, "job accepted");
    const error = "document.querySelector('main .error')";
    expect(await page.evaluate<boolean>(`${error} === null`)).toBe(true);
    expect(await page.evaluate<string>("document.querySelector('.filters .status').innerText")).toBe("live");

    logs = "gone";
    const before = asked.logs;
    await choose(page, "Level", "info");
    await shows(page, "The page no longer asks for new rows.");
    expect(await page.evaluate<string>(`${error}.innerText`)).toContain("NOT_FOUND");
    expect(await page.evaluate<string>("document.querySelector('.filters .status').innerText")).toBe("stopped");
    // The stream, and the question for the reason. While the page polls on, no other follows.
    const polls = asked.other;
    await eventually("the page asks ten times for other things", () => asked.other > polls + 10 || undefined);
    expect(asked.logs - before).toBe(2);
    held.release();
  });

  test("text of others stays text, also markup, long strings and characters that reorder it", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const markup = "<img src=x onerror=document.title='owned'>";
    const resources = [
      { id: markup, url: `${origin.url}/missing?<script>document.title='owned'</script>` },
      { id: "invoice\u202Egpj.exe", url: `${origin.url}/missing?${"y".repeat(1900)}` },
    ];
    const job = await service.submit({
      manifest_version: "v1",
      resources,
      metadata: { long: "z".repeat(10_240), html: "<b>bold</b>" },
    });
    await service.finished(job);
    const { entries } = await service.get<{ entries: { task_id: number }[] }>("/operators/dlq");
    await using page = await openPage(`${service.url}/console/jobs/${job}`);
    await page.emulate({ width: 400, isDark: true });
    const paths = [
      `jobs/${job}`,
      `jobs/${job}?tab=failures`,
      `jobs/${job}?tab=log`,
      `jobs/${job}?tab=manifest`,
      "dead-letters",
      `dead-letters/${entries.at(-1)?.task_id}`,
    ];
    for (const path of paths) {
      await visit(page, `/console/${path}`);
      await shows(page, path.includes("tab=manifest") ? "z".repeat(1900) : markup);
      expect(await page.evaluate<number>("document.querySelectorAll('main img, main script, main b').length")).toBe(0);
      expect(await page.evaluate<string>("document.title")).not.toContain("owned");
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      expect([path, width <= 400]).toEqual([path, true]);
      if (path === "dead-letters") await shows(page, "invoice\\u{202e}gpj.exe");
    }
    expectClean(page, service);
  });

  test("a replay shows its dry run first, and a list keeps still while a dialog is open", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const job = await service.submit({
      manifest_version: "v1",
      resources: [{ id: "a.txt", url: `${origin.url}/a.txt` }],
    });
    await service.finished(job);
    await using page = await openPage(`${service.url}/console/dead-letters`);
    await click(page, "main button", "Replay 1…");
    await shows(page, "The dry run found 1 dead letter.");
    const later = await service.submit({
      manifest_version: "v1",
      resources: [{ id: "b.txt", url: `${origin.url}/b.txt` }],
    });
    await service.finished(later);
    await press(page, "r");
    await page.until(
      "a chip counts the new row",
      `document.querySelector(".bar .chip")?.innerText === "1 new" || null`,
    );
    expect(await page.evaluate<number>("document.querySelectorAll('main td.select').length")).toBe(1);
    origin.serve("/a.txt", "here now");
    await type(page, "dialog textarea", "Referer: https://a.example/it's\nCookie: id=5up3r-secret");
    await type(page, "dialog label:nth-of-type(3) input", "residential");
    await shows(page, "in place of the value of Cookie, which may be a secret");
    const command = await page.evaluate<string>("document.querySelector('dialog .command code').innerText.trim()");
    expect(command).toEndWith(
      `--rate 5 --header 'Referer: https://a.example/it'\\''s' --header 'Cookie:***' --proxy-pool residential`,
    );
    // The command line knows each of its options, and refuses the mask.
    const dryRun = command.replace("fetchbox", `"$FETCHBOX"`).replace(" --proxy-pool residential", " --dry-run");
    const env = { ...process.env, FETCHBOX: BINARY, FETCHBOX_SERVER: service.url };
    const run = (line: string) => Bun.spawnSync(["sh", "-c", line], { env });
    expect(run(dryRun).stderr.toString()).toContain("--header Cookie: *** stands for a secret");
    expect(run(dryRun.replace("***", "id=1")).stdout.toString()).toBe("1 would be replayed\n");
    await type(page, "dialog textarea", "Referer: https://a.example/\nnonsense");
    await shows(page, "Line 2 of the headers: it has no colon.");
    expect(
      await page.evaluate<boolean[]>(
        "[document.querySelector('dialog .danger').disabled, document.querySelector('dialog .command') === null]",
      ),
    ).toEqual([true, true]);
    await type(page, "dialog textarea", "");
    await type(page, "dialog label:nth-of-type(3) input", "");
    await page.evaluate(`(send => {
      window.fetch = (url, init) => {
        if (String(url).endsWith("/dlq/replay")) window.preferred = init.headers.prefer;
        return send(url, init);
      };
    })(window.fetch)`);
    await click(page, "dialog button", "Replay 1");
    await shows(page, "Replayed: 1 dead letter.");
    // A replay that takes long must not hold the dialog.
    expect(await page.evaluate<string>("window.preferred")).toBe("wait=2");
    expect((await service.finished(job)).status).toBe("completed");
    // It failed after the dry run, so the replay left it.
    expect((await service.get<{ entries: unknown[] }>("/operators/dlq")).entries).toHaveLength(1);
    expectClean(page, service);
  });

  test("a large change needs its number typed, and after an error the last data stay, marked as stale", async () => {
    await using service = await startService();
    await using page = await openPage(`${service.url}/console/jobs`);
    await shows(page, "There are no jobs yet");
    // The service would need that many jobs.
    await page.evaluate(`(send => {
      window.fetch = (url, init) => String(url).endsWith("/jobs/cancel")
        ? Promise.resolve(new Response('{"matched":1200,"cancelled":0}'))
        : send(url, init);
    })(window.fetch)`);
    await click(page, "main button", "Cancel matching…");
    await shows(page, "Type 1,200 to confirm");
    const isDisabled = () => page.evaluate<boolean>("document.querySelector('dialog .danger').disabled");
    expect(await isDisabled()).toBe(true);
    await type(page, "dialog input", "120");
    expect(await isDisabled()).toBe(true);
    await type(page, "dialog input", "1200");
    await click(page, "dialog .danger", "Cancel 1,200 jobs");
    await shows(page, "Being cancelled: 0 of 1,200 jobs; 1,200 had ended or were being cancelled.");
    expectClean(page, service);

    await service.kill();
    await press(page, "r");
    await shows(page, "Stale since");
    await shows(page, "UNREACHABLE");
    await shows(page, "There are no jobs yet");
  });
});
