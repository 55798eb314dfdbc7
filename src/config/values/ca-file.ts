import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * The certificates in a PEM file, each for itself; `undefined` for the empty path.
 * Throws an `Error` if the file cannot be read, or holds no certificate, or one that cannot be parsed.
 */
export function readCaFile(path: string): readonly string[] | undefined {
  if (path === "") return undefined;
  const certificates = readFileSync(path, "latin1").match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error("it holds no certificate in PEM");
  for (const certificate of certificates) new X509Certificate(certificate);
  return certificates;
}
