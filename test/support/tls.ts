import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Certificates extends Disposable {
  /** File of the certificate that signed the others: who trusts it trusts them. */
  readonly authorityFile: string;
  readonly good: Certificate;
  readonly expired: Certificate;
  readonly selfSigned: Certificate;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Certificates for a name, made by openssl; says why on stderr, and returns nothing, where it is not installed. */
export function makeCertificates(name: string): Certificates | undefined {
  if (Bun.which("openssl") === null) {
    console.warn("tests of TLS are left out: openssl is not installed");
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-tls-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    selfSign(folder, "authority", "Test Authority", []);
    selfSign(folder, "self-signed", name, ["-addext", `subjectAltName=DNS:${name}`]);
    return {
      authorityFile: join(folder, "authority.pem"),
      selfSigned: read(folder, "self-signed"),
      good: sign(folder, "good", name, 30),
      expired: sign(folder, "expired", name, -1),
      [Symbol.dispose]: remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function selfSign(folder: string, file: string, name: string, more: readonly string[]): void {
  openssl(folder, ["req", "-x509", ...KEY, "-keyout", `${file}.key`, "-out", `${file}.pem`, ...subject(name), ...more]);
}

/** `days` may be negative: then it has expired. */
function sign(folder: string, file: string, name: string, days: number): Certificate {
  const extension = ["-addext", `subjectAltName=DNS:${name}`];
  openssl(folder, ["req", ...KEY, "-keyout", `${file}.key`, "-out", `${file}.csr`, ...subject(name), ...extension]);
  const authority = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"];
  const request = ["-req", "-in", `${file}.csr`, "-copy_extensions", "copy", "-days", String(days)];
  openssl(folder, ["x509", ...request, ...authority, "-out", `${file}.pem`]);
  return read(folder, file);
}

function subject(name: string): readonly string[] {
  return ["-subj", `/CN=${name}`];
}

function read(folder: string, file: string): Certificate {
  const text = (extension: string) => readFileSync(join(folder, `${file}.${extension}`), "utf8");
  return { cert: text("pem"), key: text("key") };
}

function openssl(folder: string, args: readonly string[]): void {
  const run = Bun.spawnSync(["openssl", ...args], { cwd: folder });
  if (run.exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${run.stderr.toString()}`);
}
