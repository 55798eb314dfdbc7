import { join } from "node:path";
import type { Unpacked } from "./debian.ts";
import { freePort, makeFolder, type Peer, startPeer } from "./peers.ts";

/** A running Prometheus. */
export interface Prometheus extends Peer {
  /** The data of an answer of its API, by a path below `/api/v1/`; `undefined` while it is not ready. */
  readonly get: <T>(path: string) => Promise<T | undefined>;
  /** The values of an instant query. */
  readonly query: (expression: string) => Promise<number[]>;
}

/** Starts Debian's Prometheus. `files` are put beside each other; `prometheus.yml` is its configuration. */
export async function startPrometheus(
  unpacked: Unpacked,
  files: Readonly<Record<string, string>>,
): Promise<Prometheus> {
  const [folder, port] = [makeFolder(), await freePort()];
  for (const [name, text] of Object.entries(files)) await Bun.write(join(folder, name), text);
  const args = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", `--web.listen-address=127.0.0.1:${port}`];
  const peer = await startPeer(unpacked, "usr/bin/prometheus", args, { folder, port });
  const get = async <T>(path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    if (response.status === 503) return undefined;
    const { data, error } = (await response.json()) as { data?: T; error?: string };
    if (data === undefined) throw new Error(`${path}: ${error}`);
    return data;
  };
  return {
    ...peer,
    get,
    async query(expression) {
      const found = await get<{ result: { value: [number, string] }[] }>(
        `query?query=${encodeURIComponent(expression)}`,
      );
      return (found?.result ?? []).map(({ value }) => Number(value[1]));
    },
  };
}
