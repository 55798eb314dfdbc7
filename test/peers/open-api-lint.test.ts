import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startService } from "../support/service.ts";

const LINTER = "@redocly/cli@2.77.0";

/** Probes refuse no client, so they have no 4xx. */
const IGNORED = `openapi.json:
  operation-4xx-response:
    - '#/paths/~1health~1live/get/responses'
    - '#/paths/~1health~1ready/get/responses'
`;

test("the OpenAPI document has nothing that a strict linter complains of", async () => {
  const npx = Bun.which("npx");
  if (npx === null) return console.warn("the OpenAPI linter is left out: there is no npx");
  await using service = await startService();
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-lint-"));
  try {
    await writeFile(join(folder, "openapi.json"), await (await service.fetch("/swagger/json")).bytes());
    await writeFile(join(folder, ".redocly.lint-ignore.yaml"), IGNORED);
    const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
    const lint = Bun.spawnSync([npx, "--yes", LINTER, "lint", "--extends=recommended-strict", "openapi.json"], {
      cwd: folder,
      env,
    });
    const output = lint.stdout.toString() + lint.stderr.toString();
    if (/E(?:NOTFOUND|AI_AGAIN|CONNREFUSED)/.test(output)) {
      return console.warn("the OpenAPI linter is left out: npm cannot be reached");
    }
    expect([lint.exitCode, output]).toEqual([0, expect.stringContaining("Your API description is valid")]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);
