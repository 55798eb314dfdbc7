import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import type { Certificate } from "../support/tls.ts";

export const hasOpenssl = Bun.which("openssl") !== null;

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** What the authority says of a certificate it signs. */
export interface Wanted {
  /** `DNS:x.test`, `IP:127.0.0.1`. */
  readonly names: string;
  /** `YYYYMMDDHHMMSSZ`. */
  readonly from?: string;
  readonly to?: string;
}

/** An authority that signs what is asked for, by openssl. */
export class Authority {
  readonly folder = makeTemporaryFolder("authority");
  readonly pem: string;
  #count = 0;

  constructor(name: string) {
    this.#openssl(["req", "-x509", ...KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", `/CN=${name}`]);
    this.pem = this.#read("ca.pem");
    writeFileSync(join(this.folder, "index.txt"), "");
    writeFileSync(join(this.folder, "ca.cnf"), CONFIG);
  }

  get file(): string {
    return join(this.folder, "ca.pem");
  }

  /** Files of the certificate and its key, as `openssl s_server` wants them, beside their texts. */
  sign({ names, from = "20200101000000Z", to = "20990101000000Z" }: Wanted): Certificate & { readonly file: string } {
    const file = `leaf${++this.#count}`;
    const request = ["-subj", "/CN=leaf", "-addext", `subjectAltName=${names}`];
    this.#openssl(["req", ...KEY, "-keyout", `${file}.key`, "-out", `${file}.csr`, ...request]);
    const authority = ["-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"];
    const dates = ["-startdate", from, "-enddate", to];
    this.#openssl(["ca", "-batch", "-notext", ...authority, "-in", `${file}.csr`, "-out", `${file}.pem`, ...dates]);
    return this.#certificate(file);
  }

  selfSigned(names: string): Certificate & { readonly file: string } {
    const file = `leaf${++this.#count}`;
    const subject = ["-subj", "/CN=leaf", "-addext", `subjectAltName=${names}`];
    this.#openssl(["req", "-x509", ...KEY, "-keyout", `${file}.key`, "-out", `${file}.pem`, ...subject]);
    return this.#certificate(file);
  }

  #certificate(file: string): Certificate & { readonly file: string } {
    return { file: join(this.folder, file), cert: this.#read(`${file}.pem`), key: this.#read(`${file}.key`) };
  }

  #read(file: string): string {
    return readFileSync(join(this.folder, file), "utf8");
  }

  #openssl(args: readonly string[]): void {
    const run = Bun.spawnSync(["openssl", ...args], { cwd: this.folder });
    if (run.exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${run.stderr.toString()}`);
  }
}

const CONFIG = `
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = policy
copy_extensions = copy
unique_subject = no
rand_serial = yes
[policy]
commonName = supplied
`;

export interface OpensslServer extends Disposable {
  readonly port: number;
}

/** `openssl s_server` on a loopback address, with more of its options. */
export async function startOpenssl(file: string, options: readonly string[] = []): Promise<OpensslServer> {
  const accept = ["-accept", "127.0.0.1:0", "-cert", `${file}.pem`, "-key", `${file}.key`];
  const child = Bun.spawn(["openssl", "s_server", ...accept, ...options], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  let said = "";
  for await (const chunk of child.stdout) {
    said += new TextDecoder().decode(chunk);
    const port = /^ACCEPT .*:(\d+)$/m.exec(said)?.[1];
    if (port !== undefined) return { port: Number(port), [Symbol.dispose]: () => child.kill("SIGKILL") };
  }
  throw new Error(`openssl s_server did not start: ${said}`);
}
