import { expect, test } from "bun:test";
import { changedKeys } from "../../src/cli/commands/reload.ts";
import { createProject } from "../config/project.ts";

const BEFORE = `
[queue]
workers = 2
[server.auth]
tokens = ["operator:\${TOKEN}"]
[handlers.gallery]
handler = "default"
default_headers = { "X-Api-Key" = "\${KEY}" }
default_headers_for = ["api.example.com"]
[download.hosts."cdn.example.com:8443"]
max_concurrency = 2
`;

test("the same configuration read twice has no changed keys", () => {
  using project = createProject(BEFORE);
  const env = { TOKEN: "a-token-of-some-length", KEY: "k" };
  expect(changedKeys(project.load({ env }), project.load({ env }))).toEqual([]);
});

test("keys that changed, came or went are named, secrets among them, and no value is", () => {
  using project = createProject(BEFORE);
  const before = project.load({ env: { TOKEN: "a-token-of-some-length", KEY: "k1" } });
  project.write(
    "config/fetchbox.toml",
    BEFORE.replace("workers = 2", "workers = 3").replace('"cdn.example.com:8443"', '"cdn.example.com"'),
  );
  const after = project.load({ env: { TOKEN: "another-token-of-length", KEY: "k2" } });
  expect(changedKeys(before, after).toSorted()).toEqual([
    'download.hosts."cdn.example.com"',
    'download.hosts."cdn.example.com:8443"',
    "handlers.gallery.default_headers.X-Api-Key",
    "queue.workers",
    "server.auth.tokens",
  ]);
});
