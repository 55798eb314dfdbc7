import type { QueueReport } from "../../../api/openapi/service-schemas.ts";
import type { DownloadList, HostList } from "../../../api/openapi/traffic-schemas.ts";
import { delay, systemClock } from "../../../std/clock.ts";
import { unlessAborted } from "../../../std/unless-aborted.ts";
import { stopSignal } from "../../stop-signal.ts";
import { type TerminalLine, terminalLine } from "../../terminal/terminal-line.ts";
import { answer, type Remote, type RemoteFlags } from "../remote-context.ts";
import { type Snapshot, topLines } from "./top-text.ts";

export interface TopFlags extends RemoteFlags {
  readonly once?: true;
}

const EVERY_MS = 1000;
/** Rows that the service is asked for. A terminal shows fewer. */
const HOSTS = 20;
const DOWNLOADS = 100;
const CTRL_C = "\x03";

/** Shows the queue, the running downloads and the hosts: every second at a terminal, elsewhere once. */
export async function showTop(flags: TopFlags, remote: Remote): Promise<void> {
  const first = await read(remote);
  const isOnce = flags.once === true || flags.json === true;
  const screen = isOnce ? undefined : await terminalLine(remote.env);
  if (screen !== undefined) return follow(remote, screen, first);
  answer(remote, flags, first, (snapshot) => `${topLines(snapshot, remote.client.server, remote).join("\n")}\n`);
}

async function read({ client }: Remote): Promise<Snapshot> {
  const [queue, downloads, hosts] = await Promise.all([
    client.get<QueueReport>("/operators/queue"),
    client.get<DownloadList>("/operators/downloads", { sort: "slowest", limit: DOWNLOADS }),
    client.get<HostList>("/operators/hosts", { sort: "running", limit: HOSTS }),
  ]);
  return { queue, downloads, hosts, at: systemClock.now() };
}

/** Draws a snapshot per second until `q`, Ctrl-C or a stop signal. While the service is away, the last one stays. */
async function follow(remote: Remote, screen: TerminalLine, first: Snapshot): Promise<void> {
  const stop = new AbortController();
  void stopSignal(() => {}).then(() => stop.abort());
  const keys = listenForQuit(() => stop.abort());
  let snapshot = first;
  let problem: string | undefined;
  try {
    while (!stop.signal.aborted) {
      const { columns = 80, rows = 24 } = process.stdout;
      const lines = topLines(snapshot, remote.client.server, { width: columns, rows, problem, keys: "q quits" });
      screen(lines.join("\n"));
      await delay(systemClock, EVERY_MS, stop.signal);
      try {
        snapshot = await unlessAborted(read(remote), stop.signal);
        problem = undefined;
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
      }
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    keys.close();
    screen.done();
  }
}

/** Calls `onQuit` when the user types `q` or Ctrl-C. The terminal does not show the keys meanwhile. */
function listenForQuit(onQuit: () => void): { close(): void } {
  const { stdin } = process;
  if (!stdin.isTTY) return { close: () => {} };
  const hear = (typed: Buffer) => {
    const keys = typed.toString();
    if (keys.toLowerCase().includes("q") || keys.includes(CTRL_C)) onQuit();
  };
  stdin.setRawMode(true);
  stdin.on("data", hear);
  return {
    close() {
      stdin.off("data", hear);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
}
