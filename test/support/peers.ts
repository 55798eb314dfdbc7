import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { type Unpacked, unpackDebian } from "./debian.ts";
import { eventually } from "./eventually.ts";
import type { Service } from "./service.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";
import type { Certificate } from "./tls.ts";

const PACKAGES = ["nginx", "haproxy", "tinyproxy-bin", "squid", "dnsmasq-base", "python3-httpbin", "gunicorn"];

const NOBODY = 65534;

/** A program that others wrote, on a loopback address. */
export interface Peer extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** What it has written to its log. */
  readonly log: () => string;
}

/** Real servers and proxies, unpacked from Debian's packages; or why there are none. */
export function findPeers(): Peers | { readonly reason: string } {
  const unpacked = unpackServers();
  return "reason" in unpacked ? unpacked : new Peers(unpacked);
}

/** Debian's packages of all servers and proxies together, because they share most libraries. */
export function unpackServers(): Unpacked | { readonly reason: string } {
  return unpackDebian("servers", PACKAGES);
}

/** microsocks, a SOCKS5 server: this machine's own, or unpacked from Debian's package; or why there is none. */
export function findSocks(): Socks | { readonly reason: string } {
  const installed = Bun.which("microsocks");
  if (installed !== null) return new Socks({ root: "/", env: {} }, installed);
  const unpacked = unpackDebian("socks", ["microsocks"]);
  return "reason" in unpacked ? unpacked : new Socks(unpacked, "usr/bin/microsocks");
}

export class Socks {
  readonly #unpacked: Unpacked;
  readonly #program: string;

  constructor(unpacked: Unpacked, program: string) {
    this.#unpacked = unpacked;
    this.#program = program;
  }

  /** For everyone, or for `user:password`. */
  async start({ address = "127.0.0.1", credentials }: { address?: string; credentials?: string } = {}): Promise<Peer> {
    const port = await freePort();
    const [user = "", ...password] = credentials?.split(":") ?? [];
    const auth = credentials === undefined ? [] : ["-u", user, "-P", password.join(":")];
    const args = ["-i", address, "-p", String(port), ...auth];
    return startPeer(this.#unpacked, this.#program, args, { folder: makeFolder(), port, address });
  }
}

export class Peers {
  readonly #unpacked: Unpacked;

  constructor(unpacked: Unpacked) {
    this.#unpacked = unpacked;
  }

  /** nginx: `files` by their path; what `locations` says is put into the server's block. */
  async nginx(options: {
    files: Readonly<Record<string, Uint8Array>>;
    tls?: Certificate;
    http?: string;
    locations?: string;
  }) {
    const folder = makeFolder();
    const port = await freePort();
    for (const [path, content] of Object.entries(options.files)) {
      mkdirSync(join(folder, "www", path, ".."), { recursive: true });
      writeFileSync(join(folder, "www", path), content);
    }
    const { tls } = options;
    if (tls !== undefined) {
      writeFileSync(join(folder, "cert.pem"), tls.cert);
      writeFileSync(join(folder, "key.pem"), tls.key);
    }
    const temporaries = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${name};`,
    );
    writeFileSync(
      join(folder, "nginx.conf"),
      `${process.getuid?.() === 0 ? "user root;" : ""} pid nginx.pid; daemon off; worker_processes 2;
       events {}
       http {
         ${temporaries.join(" ")}
         log_format seen '$status "$request" range=$http_range';
         access_log ${folder}/access.log seen;
         ${options.http ?? ""}
         server {
           listen 127.0.0.1:${port}${tls === undefined ? "" : " ssl"};
           ${tls === undefined ? "" : "ssl_certificate cert.pem; ssl_certificate_key key.pem;"}
           root www;
           ${options.locations ?? ""}
         }
       }`,
    );
    return this.#start("usr/sbin/nginx", ["-p", `${folder}/`, "-c", "nginx.conf", "-e", "stderr"], folder, port);
  }

  /** tinyproxy: for everyone, or for `user:password`. */
  async tinyproxy(credentials?: string): Promise<Peer> {
    const folder = makeFolder();
    const port = await freePort();
    const auth = credentials === undefined ? "" : `BasicAuth ${credentials.replace(":", " ")}`;
    writeFileSync(join(folder, "conf"), `Port ${port}\nListen 127.0.0.1\nTimeout 30\nLogLevel Connect\n${auth}\n`);
    return this.#start("usr/bin/tinyproxy", ["-d", "-c", join(folder, "conf")], folder, port);
  }

  /** squid: for `user:password` only. */
  async squid(credentials: string): Promise<Peer> {
    const folder = makeFolder();
    const port = await freePort();
    const [user = "", password = ""] = credentials.split(":");
    const hash = Bun.spawnSync(["openssl", "passwd", "-apr1", password]).stdout.toString().trim();
    writeFileSync(join(folder, "passwords"), `${user}:${hash}\n`);
    // It gives up root's rights, and then cannot read a cache that is root's.
    for (const part of ["usr/share/squid", "usr/lib/squid"])
      cpSync(join(this.#unpacked.root, part), join(folder, part), { recursive: true });
    if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY);
    writeFileSync(
      join(folder, "conf"),
      `http_port 127.0.0.1:${port}
       pid_filename none
       cache deny all
       cache_log ${folder}/cache.log
       access_log stdio:${folder}/access.log
       logfile_rotate 0
       mime_table ${folder}/usr/share/squid/mime.conf
       error_directory ${folder}/usr/share/squid/errors/templates
       icon_directory ${folder}/usr/share/squid/icons
       unlinkd_program ${folder}/usr/lib/squid/unlinkd
       coredump_dir ${folder}
       cache_effective_user nobody
       cache_effective_group nogroup
       shutdown_lifetime 0 seconds
       auth_param basic program ${folder}/usr/lib/squid/basic_ncsa_auth ${folder}/passwords
       auth_param basic children 2
       acl known proxy_auth REQUIRED
       http_access allow known
       http_access deny all\n`,
    );
    return this.#start("usr/sbin/squid", ["-N", "-n", `fetchbox${port}`, "-f", join(folder, "conf")], folder, port);
  }

  /** dnsmasq on port 53 of a loopback address; `lines` are its configuration. */
  dnsmasq(address: string, lines: readonly string[]): Promise<Peer> {
    const folder = makeFolder();
    const conf = ["no-resolv", "no-hosts", "bind-interfaces", `listen-address=${address}`, "user=root", "log-queries"];
    writeFileSync(join(folder, "conf"), [...conf, "log-facility=-", ...lines, ""].join("\n"));
    return this.#start("usr/sbin/dnsmasq", ["-k", "-C", join(folder, "conf")], folder, 53, address);
  }

  /** httpbin under gunicorn. */
  async httpbin(): Promise<Peer> {
    const port = await freePort();
    const program = [
      "-m",
      "gunicorn",
      "--bind",
      `127.0.0.1:${port}`,
      "--threads",
      "16",
      "--access-logfile",
      "-",
      "httpbin:app",
    ];
    return this.#start("/usr/bin/python3", program, makeFolder(), port);
  }

  #start(program: string, args: readonly string[], folder: string, port: number, address?: string): Promise<Peer> {
    return startPeer(this.#unpacked, program, args, { folder, port, ...(address !== undefined && { address }) });
  }
}

export interface PeerPlace {
  /** Its working directory, which goes with it. */
  readonly folder: string;
  readonly port: number;
  readonly address?: string;
}

/** Starts a program and waits until it listens. */
export async function startPeer(
  { root, env }: Unpacked,
  program: string,
  args: readonly string[],
  { folder, port, address = "127.0.0.1" }: PeerPlace,
): Promise<Peer> {
  const child = Bun.spawn([program.startsWith("/") ? program : join(root, program), ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", PYTHONPATH: join(root, "usr/lib/python3/dist-packages"), ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  const collecting = [child.stdout, child.stderr].map(async (stream) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) log += decoder.decode(chunk, { stream: true });
  });
  await eventually(`${program} listens`, () => {
    if (child.exitCode !== null)
      throw new Error(`${program} ended with ${child.exitCode}: ${log}${readIfThere(join(folder, "cache.log"))}`);
    return isListening(address, port);
  });
  return {
    port,
    pid: child.pid,
    log: () => log + readIfThere(join(folder, "access.log")),
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      await Promise.all(collecting);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function makeFolder(): string {
  const folder = makeTemporaryFolder("peer");
  chmodSync(folder, 0o755); // some programs give up root's rights
  return folder;
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function isListening(address: string, port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(undefined));
  });
}

/** True once an object of so many bytes, or more, is under way in the service's local storage. */
export function hasTemporary({ folder }: Service, bytes: number): true | undefined {
  const entries = readdirSync(join(folder, "data/objects"), { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile() && entry.parentPath.includes(".uploads"))
    .map((entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0);
  return sizes.some((size) => size >= bytes) || undefined;
}
