import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { prepareService } from "../support/service.ts";
import { startAtTerminal } from "../support/terminal.ts";

setDefaultTimeout(60_000);

const LINE = /^\d\d:\d\d:\d\d\.\d{3} (?:INFO |WARN |ERROR) [^"{}]+/;

describe("serve at a terminal", () => {
  test.each([
    ["xterm-256color", true],
    ["dumb", false],
  ])("logs a line per event, with key=value (%s)", async (term, isColoured) => {
    await using origin = await startOrigin();
    await using service = await prepareService({ settings: { "log.format": "auto", "queue.max_retries": 0 } });
    await using serve = startAtTerminal(["serve"], { cwd: service.folder, env: { ...service.env, TERM: term } });
    const url = await eventually("it answers", () => /^FetchBox \S+ · (http:\S+) · /.exec(serve.written())?.[1]);
    const resources = [
      { id: "a", url: origin.serve("/a", "abc") },
      { id: "gone", url: `${origin.url}/gone` },
    ];
    const submitted = await fetch(`${url}/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ manifest_version: "v1", resources }),
    });
    expect(submitted.status).toBe(202);
    await eventually("the job has ended", () => serve.written().includes("job partial") || undefined);
    serve.type("\x03");
    expect(await serve.ended).toBe(0);
    // The terminal shows the key that was typed.
    for (const line of serve.lines().slice(1)) expect(line.replace(/^\^C/, "")).toMatch(LINE);
    expect(serve.lines().some((line) => / job partial( \S+=\S+)* status=partial/.test(line))).toBe(true);
    expect(serve.written().includes("\x1b[")).toBe(isColoured);
  });
});

describe("run at a terminal", () => {
  test("shows its progress at 40 columns, is interrupted by Ctrl-C, and leaves nothing behind", async () => {
    await using origin = await startOrigin();
    await using place = await prepareService();
    const folder = place.folder;
    mkdirSync(join(folder, "tmp"));
    const held = origin.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
    const resources = [
      { id: "a/folder/of/a/rather/long/name/that-goes-on-and-ends-with.bin", url: held.url },
      { id: "gone", url: `${origin.url}/gone` },
    ];
    writeFileSync(join(folder, "manifest.json"), JSON.stringify({ manifest_version: "v1", resources }));
    await using run = startAtTerminal(["run", "manifest.json", "--out", "out"], {
      cwd: folder,
      env: { ...place.env, TMPDIR: join(folder, "tmp") },
      columns: 40,
    });
    await held.reached;
    const shown = /1 failed[^]*…\S*with\.bin/;
    await eventually("the progress is shown", () => shown.test(run.written()) || undefined);
    run.type("\x03");
    expect(await run.ended).toBe(1);
    const progress = run.lines().filter((line) => /stored {2}|with\.bin/.test(line));
    expect(progress.some((line) => /^ {2}a\/.*….*with\.bin /.test(line))).toBe(true);
    for (const line of progress) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(40);
    expect(
      run.lines().some((line) => /interrupted by Ctrl-C after \ds: 0 of 2 stored, 1 failed, 1 not done/.test(line)),
    ).toBe(true);
    expect(readdirSync(join(folder, "tmp"))).toEqual([]);
    held.release();
  });

  test("leaves nothing behind when the terminal goes away, and shows the cursor again", async () => {
    await using origin = await startOrigin();
    await using place = await prepareService();
    mkdirSync(join(place.folder, "tmp"));
    const held = origin.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
    const manifest = { manifest_version: "v1", resources: [{ id: "held.bin", url: held.url }] };
    writeFileSync(join(place.folder, "manifest.json"), JSON.stringify(manifest));
    await using run = startAtTerminal(["run", "manifest.json", "--out", "out"], {
      cwd: place.folder,
      env: { ...place.env, TMPDIR: join(place.folder, "tmp") },
    });
    await held.reached;
    await eventually("the progress is shown", () => run.written().includes("held.bin") || undefined);
    run.kill("SIGHUP");
    expect(await run.ended).toBe(1);
    expect(run.written()).toContain("interrupted by SIGHUP after ");
    expect(run.written().lastIndexOf("\x1b[?25h")).toBeGreaterThan(run.written().lastIndexOf("\x1b[?25l"));
    expect(readdirSync(join(place.folder, "tmp"))).toEqual([]);
    expect(existsSync(join(place.folder, "out/.uploads"))).toBe(false);
    held.release();
  });

  test("writes a line per event, and nothing that moves a cursor, where TERM is dumb", async () => {
    await using origin = await startOrigin();
    await using place = await prepareService();
    const resources = [{ id: "a", url: origin.serve("/a", "abc") }];
    writeFileSync(join(place.folder, "manifest.json"), JSON.stringify({ manifest_version: "v1", resources }));
    await using run = startAtTerminal(["run", "manifest.json", "--out", "out"], {
      cwd: place.folder,
      env: { ...place.env, TERM: "dumb" },
    });
    expect(await run.ended).toBe(0);
    expect(run.written()).not.toContain("\x1b");
    expect(run.lines().some((line) => / info {2}a resource stored bytes=3 /.test(line))).toBe(true);
    expect(run.written()).toContain(" completed: 1 of 1 stored, 3 B in ");
  });
});
