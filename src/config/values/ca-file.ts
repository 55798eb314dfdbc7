import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * The certificates of a PEM file, one by one; `undefined` for the empty path.
 * Throws an `Error` if the file cannot be read, contains no certificate, or contains an invalid one.
 */
export function readCaFile(path: string): readonly string[] | undefined {
  if (path === "") return undefined;
  const certificates = readFileSync(path, "latin1").match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error("it contains no PEM certificate");
  for (const certificate of certificates) new X509Certificate(certificate);
  return certificates;
}
