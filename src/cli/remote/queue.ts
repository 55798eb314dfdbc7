import type { QueueReport } from "../../api/schemas.ts";
import { durationText } from "../units.ts";
import { answer, type Remote, type RemoteFlags } from "./context.ts";
import { table } from "./table.ts";

export async function showQueue(flags: RemoteFlags, remote: Remote): Promise<void> {
  answer(remote, flags, await remote.client.get<QueueReport>("/operators/queue"), (report) =>
    queueText(report, remote.width),
  );
}

export async function switchQueue(to: "pause" | "resume", flags: RemoteFlags, remote: Remote): Promise<void> {
  const report = await remote.client.post<QueueReport>(`/operators/queue/${to}`);
  answer(remote, flags, report, () => (report.paused ? "paused: no download begins\n" : "downloads begin again\n"));
}

function queueText(report: QueueReport, width: number | undefined): string {
  const { pending, running, retrying, paused, oldest_pending_age_ms: age, workers, hosts } = report;
  const oldest = pending + retrying === 0 ? "" : `the oldest has waited ${durationText(age / 1000)}; `;
  const lines = [
    `${pending} pending, ${running} running, ${retrying} retrying${paused ? "; PAUSED" : ""}`,
    `${oldest}${workers.busy} of ${workers.total} workers are busy`,
  ];
  if (hosts.length === 0) return `${lines.join("\n")}\n`;
  const columns = [
    { title: "HOST", isElastic: true },
    { title: "WAITING", isNumber: true },
    { title: "RUNNING", isNumber: true },
    { title: "LIMIT", isNumber: true },
    { title: "CLOSED FOR", isNumber: true, expendable: 1 },
  ] as const;
  const rows = hosts.map((host) => [
    host.host,
    String(host.waiting),
    String(host.running),
    String(host.limit),
    host.closed_for_ms === 0 ? "" : durationText(host.closed_for_ms / 1000),
  ]);
  return `${lines.join("\n")}\n\n${table(columns, rows, width)}`;
}
