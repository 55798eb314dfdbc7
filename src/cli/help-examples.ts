import type { Command } from "commander";

/** Examples for each command of the program. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  serve: ["fetchbox serve --config /etc/fetchbox/fetchbox.toml", "FETCHBOX__QUEUE__WORKERS=16 fetchbox serve"],
  run: ["fetchbox run manifest.json --out ./files", "cat manifest.json | fetchbox run - --out ./files"],
  backup: ["fetchbox backup /backup/fetchbox-2026-11-28"],
  verify: ["fetchbox verify", "fetchbox verify --deep --json"],
  submit: ["fetchbox submit manifest.json --wait", "fetchbox submit urls.txt --tenant press --batch 500"],
  jobs: ["fetchbox jobs --status in_progress", "fetchbox jobs --tenant press --json | jq -r '.jobs[].job_id'"],
  status: ["fetchbox status 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00"],
  logs: [
    "fetchbox logs 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00 --follow",
    "fetchbox logs 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00 --level warn",
  ],
  resources: [
    "fetchbox resources 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00 --state failed",
    "fetchbox resources 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00 --json | jq -r .storage_key",
  ],
  cancel: [
    "fetchbox cancel 019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00",
    "fetchbox cancel --tenant press --status queued --dry-run",
    "fetchbox cancel --job-type gallery --yes",
  ],
  "dlq list": ["fetchbox dlq list --code DOWNLOAD_HTTP_404 --since 2026-11-28T00:00:00Z"],
  "dlq show": ["fetchbox dlq show 7"],
  "dlq analyze": ["fetchbox dlq analyze --by host"],
  "dlq replay": ["fetchbox dlq replay 7 8", "fetchbox dlq replay --host cdn.example.com --rate 5"],
  "dlq rm": ["fetchbox dlq rm 7", "fetchbox dlq rm --code DOWNLOAD_HTTP_404 --dry-run"],
  "dlq operations": ["fetchbox dlq operations"],
  "dlq stop": ["fetchbox dlq stop 3"],
  health: ["fetchbox health", "fetchbox health --json | jq .components.storage"],
  queue: ["fetchbox queue", "watch -n 5 fetchbox queue", "fetchbox queue --json | jq -r .limited_by.reason"],
  top: ["fetchbox top", "fetchbox top --json | jq '.downloads.downloads[] | select(.bytes_per_second == 0)'"],
  pause: ["fetchbox pause"],
  resume: ["fetchbox resume"],
  "config check": ["fetchbox config check --config config/fetchbox.toml"],
  "config print": [
    "fetchbox config print",
    "fetchbox config print --json | jq '.values[] | select(.layer != \"default\")'",
  ],
  "storage check": ["fetchbox storage check --all-buckets"],
  "handlers check": ["fetchbox handlers check config/handlers/gallery.ts manifest.json"],
  completion: [
    "source <(fetchbox completion bash)",
    "fetchbox completion zsh > ~/.zsh/completions/_fetchbox",
    "fetchbox completion fish > ~/.config/fish/completions/fetchbox.fish",
  ],
  man: ["fetchbox man | man -l -", "fetchbox man > /usr/local/share/man/man1/fetchbox.1"],
  version: ["fetchbox version --json"],
};

/** Adds examples to the help of each command. */
export function addExamples(command: Command, path = ""): void {
  const lines = EXAMPLES[path];
  if (lines !== undefined) command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  for (const child of command.commands) addExamples(child, `${path} ${child.name()}`.trim());
}
