import { join } from "node:path";

const OPENSSL = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=origin";

/** Makes a certificate for 127.0.0.1 by openssl. Returns its PEM file; its key is beside it, with `.key` at the end. */
export function makeCertificate(folder: string): string {
  const file = join(folder, "origin.pem");
  const made = ["-keyout", `${file}.key`, "-out", file, "-addext", "subjectAltName=IP:127.0.0.1"];
  const { success, stderr } = Bun.spawnSync([...OPENSSL.split(" "), ...made], { stderr: "pipe" });
  if (!success) throw new Error(`openssl made no certificate: ${stderr.toString()}`);
  return file;
}
