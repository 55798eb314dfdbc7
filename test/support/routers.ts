import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Unpacked } from "./debian.ts";
import { freePort, makeFolder, type Peer, startPeer, unpackServers } from "./peers.ts";

const DEPLOY = join(import.meta.dir, "../../deploy");
/** The ports of the three instances in the shipped files: instance N has the address 10.0.0.1N:8080. */
const SHIPPED_ADDRESS = /\b10\.0\.0\.1([0-2]):8080\b/g;

export const ROUTERS = ["nginx", "haproxy"] as const;
export type RouterName = (typeof ROUTERS)[number];

/** Routers with the shipped files, from Debian's packages; or the reason for their absence. */
export function findRouters(): Routers | { readonly reason: string } {
  const unpacked = unpackServers();
  return "reason" in unpacked ? unpacked : new Routers(unpacked);
}

export class Routers {
  readonly #unpacked: Unpacked;

  constructor(unpacked: Unpacked) {
    this.#unpacked = unpacked;
  }

  /** Starts a router before instances on these ports. `last` replaces 2, the number of the last instance. */
  async start(name: RouterName, ports: readonly number[], last = 2): Promise<Peer> {
    const folder = makeFolder();
    const port = await freePort();
    const shipped = (file: string) =>
      readFileSync(join(DEPLOY, name, file), "utf8")
        .replace(SHIPPED_ADDRESS, (_address, at: string) => `127.0.0.1:${ports[Number(at)]}`)
        .replace("listen 8080;", `listen 127.0.0.1:${port};`)
        // Tests do not wait that long for nginx to use an instance again.
        .replaceAll("fail_timeout=5s", "fail_timeout=1s")
        .replace("bind :8080", `bind 127.0.0.1:${port}`)
        .replace(/\bfetchbox_2\b/g, `fetchbox_${last}`)
        .replace(/^ +2 fetchbox/m, `${last} fetchbox`)
        .replace(/^ +02 fetchbox/m, `${last.toString(16).padStart(2, "0")} fetchbox`);
    if (name === "haproxy") {
      writeFileSync(join(folder, "haproxy.cfg"), shipped("haproxy.cfg"));
      return startPeer(this.#unpacked, "usr/sbin/haproxy", ["-db", "-f", "haproxy.cfg"], { folder, port });
    }
    for (const file of ["fetchbox-instances.conf", "fetchbox-router.conf"])
      writeFileSync(join(folder, file), shipped(file));
    writeFileSync(join(folder, "nginx.conf"), nginxConf(folder));
    return startPeer(this.#unpacked, "usr/sbin/nginx", ["-p", `${folder}/`, "-c", "nginx.conf", "-e", "stderr"], {
      folder,
      port,
    });
  }
}

function nginxConf(folder: string): string {
  const temporaries = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
  return `${process.getuid?.() === 0 ? "user root;" : ""} pid nginx.pid; daemon off; worker_processes 2;
    events {}
    http { ${temporaries.join(" ")} access_log ${folder}/access.log; include ${folder}/fetchbox-*.conf; }`;
}
