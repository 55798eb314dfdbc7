import type { ChecksumSetting } from "../jobs/checksum-setting.ts";
import type { S3Client } from "./client.ts";
import type { Checksum } from "./copy-checks.ts";
import { S3Failure } from "./s3-failure.ts";
import { type ProbeResult, probeServer, type UploadToCome } from "./server-probe.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Codes of servers that do not know a header of checksums; some give none. */
const UNSUPPORTED: ReadonlySet<string> = new Set(["", "InvalidArgument", "InvalidRequest", "NotImplemented"]);

/**
 * What is known of the server behind one bucket, learned from its answers since the process began. Servers that speak
 * S3 differ in which checksums they take, and some compare none.
 */
export class ServerTraits {
  /** It has shown an object with the metadata that was sent. */
  isS3 = false;
  /** Whether answers are taken as proof of a copy: not where the configuration wants no checksums. */
  readonly judges: boolean;
  readonly #checksums: readonly Checksum[];
  /** Index of the strongest checksum that the server may take. */
  #strongest = 0;
  #isSettled: boolean;
  #probe: Promise<ProbeResult | undefined> | undefined;
  #probed: ProbeResult | undefined;

  constructor(setting: ChecksumSetting) {
    this.#checksums = setting === "auto" ? ["sha256", "md5", "none"] : [setting];
    this.#isSettled = setting !== "auto";
    this.judges = setting !== "none";
  }

  /** Whether it refuses a body that is not of the hash that was signed; undefined = not tried yet. */
  get verifiesHashes(): boolean | undefined {
    return this.#probed?.verifiesHashes;
  }

  /** Whether it takes a SHA-256 behind the body, and returns it; undefined = not tried yet. */
  get takesTrailers(): boolean | undefined {
    return this.#probed?.takesTrailers;
  }

  /** Whether an upload in parts may be declared as one of SHA-256, which AWS wants where its parts carry one. */
  get takesSha256Uploads(): boolean {
    return this.#probed?.takesSha256Uploads === true;
  }

  /** Finds out once what the server does with checksums, by the key and headers of an object to come. */
  async learn(client: S3Client, { signal, ...upload }: UploadToCome): Promise<void> {
    if (this.#probed !== undefined || !this.#checksums.includes("sha256")) return;
    // Several may wait for it: no signal but its own ends it, after the client's limits at the latest.
    this.#probe ??= probeServer(client, { ...upload, signal: new AbortController().signal }).finally(() => {
      this.#probe = undefined;
    });
    this.#probed = await unlessAborted(this.#probe, signal);
  }

  /** Sends a body with the strongest checksum that the server takes: at first with each in turn until one is taken. */
  async withChecksum<T>(send: (checksum: Checksum) => Promise<T>): Promise<T> {
    let refusal: unknown;
    for (const [index, checksum] of this.#checksums.entries()) {
      if (index < this.#strongest) continue;
      try {
        const answer = await send(checksum);
        this.#strongest = index;
        this.#isSettled = true;
        return answer;
      } catch (error) {
        if (this.#isSettled || !isUnsupported(error)) throw error;
        // Where all are refused it was not for the checksum: what S3 said first is the reason.
        refusal ??= error;
      }
    }
    throw refusal;
  }
}

function isUnsupported(error: unknown): boolean {
  if (!(error instanceof S3Failure)) return false;
  return error.httpStatus === 501 || (error.httpStatus === 400 && UNSUPPORTED.has(error.s3Code));
}
