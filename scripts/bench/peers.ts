/** What a user would pick instead, where it is installed: nothing of these keeps books that survive a crash. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Load, Program, Ran, Usage } from "./load.ts";
import { freePort, ready } from "./service.ts";

/** Some seconds of each are enough: its start is a small part of them. */
const ITEMS_PART = 6;
/** Larger files, stored on the way, would only show the disk. */
const ON_DISK_BYTES_MAX = 1 << 20;

interface Peer extends Program {
  readonly needs: readonly string[];
}

const PEERS: readonly Peer[] = [
  {
    name: "curl -Z, then rclone copy",
    needs: ["curl", "rclone"],
    itemsPart: ITEMS_PART,
    bytesMax: ON_DISK_BYTES_MAX,
    run: runCurl,
  },
  { name: "rclone rc copyurl", needs: ["rclone"], itemsPart: ITEMS_PART, run: runRclone },
];

export const installedPeers: readonly Program[] = PEERS.filter(({ needs }) => needs.every((name) => Bun.which(name)));

/** One curl in parallel to a folder, then one rclone from there. */
async function runCurl(load: Load, folder: string): Promise<Ran> {
  const { prefix, count, lanes } = load;
  mkdirSync(join(folder, "files"));
  const urls = Array.from({ length: count }, (_, at) => `url="${prefix}${at}"\noutput="files/i${at}"\n`);
  await Bun.write(join(folder, "urls"), urls.join(""));
  const curl = ["curl", "-sf", "--no-progress-meter", "--parallel", "--parallel-immediate", "--parallel-max"];
  const rclone = [
    "rclone",
    "copy",
    "files",
    "s3:bench",
    "--checkers",
    String(lanes),
    "--transfers",
    String(lanes),
    "-q",
  ];
  const started = performance.now();
  const fetched = await finished([...curl, String(lanes), "--retry", "5", "-K", "urls"], load, folder);
  const stored = await finished(rclone, load, folder);
  return { seconds: (performance.now() - started) / 1000, usage: added(fetched, stored) };
}

/** One rclone as a daemon, asked for each item; it keeps no list of what is to do. */
async function runRclone(load: Load, folder: string): Promise<Ran> {
  const address = `127.0.0.1:${await freePort()}`;
  const command = ["rclone", "rcd", "--rc-no-auth", "--rc-addr", address, "-q"];
  // It tells of every call, whatever it is told.
  const daemon = Bun.spawn(command, { cwd: folder, env: environment(load, folder), stderr: "ignore" });
  try {
    await ready(`http://${address}/core/pid`, daemon, "POST");
    const started = performance.now();
    await copyAll(`http://${address}/operations/copyurl`, load);
    const seconds = (performance.now() - started) / 1000;
    daemon.kill();
    await daemon.exited;
    return { seconds, usage: daemon.resourceUsage() };
  } finally {
    daemon.kill("SIGKILL");
  }
}

async function copyAll(endpoint: string, { prefix, count, lanes }: Load): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let at = next++; at < count; at = next++) {
      const body = JSON.stringify({ fs: "s3:bench", remote: `i${at}`, url: `${prefix}${at}` });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(endpoint, { method: "POST", headers, body });
      const text = await answer.text();
      if (answer.status !== 200) throw new Error(`rclone answered ${answer.status}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function finished(command: string[], load: Load, folder: string): Promise<Usage | undefined> {
  const child = Bun.spawn(command, {
    cwd: folder,
    env: environment(load, folder),
    stderr: Bun.file(join(folder, "errors")),
  });
  if ((await child.exited) !== 0) {
    const errors = (await Bun.file(join(folder, "errors")).text()).slice(-500);
    throw new Error(`${command[0]} ended with ${child.exitCode}: ${errors}`);
  }
  return child.resourceUsage();
}

function environment({ s3, certificate }: Load, folder: string): Record<string, string | undefined> {
  return {
    ...process.env,
    no_proxy: "127.0.0.1",
    NO_PROXY: "127.0.0.1",
    // Of an origin that speaks TLS; both curl and rclone look here.
    SSL_CERT_FILE: certificate,
    CURL_CA_BUNDLE: certificate,
    // rclone's S3 client ends at one that is set, and all is plain HTTP here.
    AWS_CA_BUNDLE: undefined,
    RCLONE_CONFIG: "/dev/null",
    RCLONE_CACHE_DIR: join(folder, "cache"),
    RCLONE_CONFIG_S3_TYPE: "s3",
    RCLONE_CONFIG_S3_PROVIDER: "Other",
    RCLONE_CONFIG_S3_ENDPOINT: s3,
    RCLONE_CONFIG_S3_ACCESS_KEY_ID: "a",
    RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: "b",
    RCLONE_S3_NO_CHECK_BUCKET: "true",
    RCLONE_S3_NO_HEAD: "true",
    // Our sink does not know its `Expect: 100-Continue`, which a real S3 answers at once.
    RCLONE_EXPECT_CONTINUE_TIMEOUT: "0",
  };
}

function added(a: Usage | undefined, b: Usage | undefined): Usage | undefined {
  if (a === undefined || b === undefined) return undefined;
  return {
    cpuTime: { total: Number(a.cpuTime.total) + Number(b.cpuTime.total) },
    maxRSS: Math.max(a.maxRSS, b.maxRSS),
  };
}
