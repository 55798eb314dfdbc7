import type { HeaderFields } from "../../../http/message/header-fields.ts";
import { unlessAborted } from "../../../std/unless-aborted.ts";
import type { ChecksumSetting } from "../../checksum-setting.ts";
import { type BodyDigests, type Checksum, hasSha256, isItsMd5, otherMd5, SHA256_HEADER } from "./copy-checks.ts";
import type { S3Client } from "./s3-client.ts";
import { S3Failure } from "./s3-failure.ts";
import { type ProbeResult, probeServer, type UploadToCome } from "./server-probe.ts";

/** Codes of servers that do not know a header of checksums; some servers send no code. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  "",
  "InvalidArgument",
  "InvalidRequest",
  // It demands another one.
  "MissingContentMD5",
  "NotImplemented",
]);
/** How long a finding holds: a service may be replaced by another one. */
const KNOWN_FOR_MS = 3_600_000;
/** Uploads wait for a probe: a server that takes longer is asked again later. */
const PROBE_MS = 5000;
/** How long a server that could not be asked is left alone: it is not asked with every body. */
const UNKNOWN_FOR_MS = 60_000;
/** Bodies that are compared by their MD5 before the server is asked whether it compares hashes itself. */
const UNASKED_MAX = 100;
/** Of the bodies that the server compares itself, the first ones and then every 64th are compared once more. */
const AUDITED_FIRST = 16;
const AUDITED_EVERY = 64;

/** Servers may take other checksums with parts than with whole objects. */
type UploadKind = "whole" | "part";

/**
 * The known abilities of the server behind one bucket, learned from its answers since the process started. Servers that
 * speak S3 differ in which checksums they take, and some compare none.
 */
export class ServerTraits {
  /** It has shown an object with the metadata that was sent. */
  isS3 = false;
  /** Whether answers are taken as proof of a copy: not where the configuration wants no checksums. */
  readonly #judges: boolean;
  readonly #checksums: readonly Checksum[];
  readonly #now: () => number;
  /** Index of the strongest checksum that the server may take. */
  readonly #strongest: Record<UploadKind, number> = { whole: 0, part: 0 };
  #judged = 0;
  #probe: Promise<ProbeResult | undefined> | undefined;
  #probed: ProbeResult | undefined;
  #nextProbeAt = 0;

  constructor(setting: ChecksumSetting, now: () => number) {
    this.#checksums = setting === "auto" ? ["sha256", "md5", "none"] : [setting];
    this.#now = now;
    this.#judges = setting !== "none";
  }

  /** Whether it is known to take a SHA-256 behind the body, to compare it, and to return it. */
  get takesTrailers(): boolean {
    return this.#probed?.takesTrailers === true;
  }

  /** Whether an upload in parts may be declared as one of SHA-256, which AWS wants where its parts carry one. */
  get takesSha256Uploads(): boolean {
    return this.#probed?.takesSha256Uploads === true;
  }

  /** Finds out how the server treats checksums, by the key and headers of an object to come; known for an hour. */
  async learn(client: S3Client, { signal, ...upload }: UploadToCome): Promise<void> {
    if (!this.#isToLearn) return;
    this.#probe ??= this.#begin(client, upload).finally(() => {
      this.#probe = undefined;
    });
    const found = await unlessAborted(this.#probe, signal);
    this.#probed = found ?? this.#probed;
    this.#nextProbeAt = this.#now() + (found === undefined ? UNKNOWN_FOR_MS : KNOWN_FOR_MS);
  }

  /** Several may wait for it: no signal but its own ends it. */
  async #begin(client: S3Client, upload: Omit<UploadToCome, "signal">): Promise<ProbeResult | undefined> {
    const limit = new AbortController();
    const timer = client.clock.after(PROBE_MS, () => limit.abort());
    try {
      return await probeServer(client, { ...upload, signal: limit.signal });
    } catch (error) {
      if (limit.signal.aborted) return undefined;
      throw error;
    } finally {
      timer.cancel();
    }
  }

  get #isToLearn(): boolean {
    return this.#now() >= this.#nextProbeAt && this.#checksums.includes("sha256");
  }

  /**
   * Whether the answer to an upload proves the copy: by an MD5, or because the server is known to compare the hash that
   * was signed. A server that only returns the sent value proves nothing. The result is no promise where the server
   * need not be asked.
   * @throws S3Failure UPLOAD_CORRUPT where the copy is something else
   */
  isProven(
    client: S3Client,
    upload: UploadToCome,
    headers: HeaderFields,
    digests: BodyDigests,
  ): boolean | Promise<boolean> {
    if (!this.#judges) return false;
    hasSha256(headers, digests.sha256Base64);
    const count = ++this.#judged;
    const mustAsk = count > UNASKED_MAX && this.#isToLearn;
    if (!mustAsk && this.#isTrusted(headers) && !this.#isAudited(count)) return true;
    return this.#find(client, upload, headers, digests);
  }

  async #find(client: S3Client, upload: UploadToCome, headers: HeaderFields, digests: BodyDigests): Promise<boolean> {
    const count = this.#judged;
    const isMd5 = isItsMd5(headers, digests);
    if (isMd5 === true && this.#probe !== undefined) return true;
    if (count > UNASKED_MAX) await this.learn(client, upload);
    if (this.#isTrusted(headers) && !this.#isAudited(count)) return true;
    if (isMd5 === true) return true;
    if (isMd5 === false && this.#probed?.etagsAreMd5 === true) this.#forget();
    await this.learn(client, upload);
    const isTrusted = this.#isTrusted(headers);
    if (isMd5 === false && !(isTrusted && this.#probed?.etagsAreMd5 === false)) throw otherMd5(digests);
    return isTrusted;
  }

  /** The findings about the server are no longer valid. */
  #forget(): void {
    this.#probed = undefined;
    this.#nextProbeAt = 0;
  }

  /** It compares hashes, and has taken this body: the answer is one of S3. */
  #isTrusted(headers: HeaderFields): boolean {
    return this.#probed?.verifiesHashes === true && (headers.has("etag") || headers.has(SHA256_HEADER));
  }

  /** A server that compares all may be followed by one that does not, or be one that does so with parts alone. */
  #isAudited(count: number): boolean {
    return this.#probed?.etagsAreMd5 === true && (count <= AUDITED_FIRST || count % AUDITED_EVERY === 0);
  }

  /** Sends a body with the strongest checksum that the server takes, after a refusal with the next one. */
  async withChecksum<T>(kind: UploadKind, send: (checksum: Checksum) => Promise<T>): Promise<T> {
    let refusal: unknown;
    for (const [index, checksum] of this.#checksums.entries()) {
      if (index < this.#strongest[kind]) continue;
      try {
        const answer = await send(checksum);
        this.#strongest[kind] = index;
        return answer;
      } catch (error) {
        if (!isUnsupported(error)) throw error;
        // Where every checksum is refused, the checksum is not the reason: S3's first answer is.
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
