import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createProject } from "./project.ts";

const SPECIFICATION = resolve(import.meta.dir, "../../../shared/spec/overview.md");
const isThere = existsSync(SPECIFICATION);
if (!isThere) console.log(`skipped: the specification is not in ${SPECIFICATION}`);

/** The specification's own example: the first TOML block of the file. */
function specExample(): string {
  return /```toml\n([^]*?)```/.exec(readFileSync(SPECIFICATION, "utf8"))?.[1] ?? "";
}

const POOL = `\n[proxies.residential-us]\nendpoints = ["http://user:\${PROXY_PASSWORD}@proxy-a:8080"]\n`;
const ENV = { PROXY_PASSWORD: "p", AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };

test.skipIf(!isThere)("the specification's example works once its pool is defined and access is decided", () => {
  using project = createProject(specExample() + POOL);
  const config = project.load({ env: { ...ENV, FETCHBOX__SERVER__AUTH__TOKENS: "operator:some-token-of-16-letters" } });
  expect(config.server.bind_addr).toEqual({ host: "0.0.0.0", port: 8080 });
  expect(config.storage.backend).toBe("s3");
  expect(config.queue).toMatchObject({ workers: 8, rate_limit_per_worker: 10, max_retries: 3, retry_backoff_ms: 1000 });
  expect(config.dlq).toMatchObject({ retention_days: 90, max_size_gb: 10, enable_metrics: true });
  expect(config.handlers["gallery"]).toMatchObject({
    handler: "default",
    proxy: { primary: "residential-us" },
    storage: { bucket: "fetchbox-artifacts" },
  });
});

test.skipIf(!isThere)("as it stands it lacks the pool and a decision about access, both told at once", () => {
  using project = createProject(specExample());
  expect(project.problems().map(({ source, key }) => `${source} ${key}`)).toEqual([
    "config/fetchbox.toml:2 server.bind_addr",
    "config/fetchbox.toml:32 handlers.gallery.proxy.primary",
  ]);
});
