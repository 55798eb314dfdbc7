import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { IssuedCredentials } from "./credential-source.ts";

/**
 * The environment as the chain reads it. The SDK reads the process's own, so this must be the same; only messages
 * are made from it here.
 */
type ChainEnvironment = Readonly<Record<string, string | undefined>>;

/** The chain gave no keys. The message names each source that was tried, with the reason, and no secret. */
export class NoCredentialsError extends Error {
  override readonly name = "NoCredentialsError";
  /** One line for each source. */
  readonly tried: readonly string[];

  constructor(tried: readonly string[]) {
    super(`no source gave any (${tried.join("; ")})`);
    this.tried = tried;
  }
}

/** The links of the SDK's chain in its order, as its debug messages name them. */
const LINKS = ["fromEnv", "fromIni", "fromProcess", "fromTokenFile", "remoteProvider"] as const;
type Link = (typeof LINKS)[number];

const LINK = /defaultProvider::(\w+)$/;
/** The reason why a link had no keys, so that the next link is asked. */
const REASON = /^@smithy\/property-provider -> (.*)$/;
const REASON_LENGTH_MAX = 200;

/**
 * Asks the chain of sources that every AWS SDK has: shared files and their profile, `credential_process`, SSO, web
 * identity, container, instance metadata (IMDSv2 only). No call depends on an earlier one. `region` is STS's.
 * @throws NoCredentialsError
 */
export async function askChain(env: ChainEnvironment, region: string): Promise<IssuedCredentials> {
  // Loaded here and nowhere else: with keys of its own the service never has the SDK in memory.
  const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
  const trace = createTrace();
  try {
    const provide = defaultProvider({
      logger: trace.logger,
      ignoreCache: true,
      ec2MetadataV1Disabled: true,
      parentClientConfig: { region },
    });
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await provide();
    const keys = { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
    return { keys, expiresAt: expiration?.getTime(), origin: originOf(trace.link(), env) };
  } catch (error) {
    const last = trace.link();
    // The SDK's last error only means that no source has keys; any other error stopped the chain at its link.
    const wasStopped = !(error as Error).message.startsWith("Could not load credentials from any providers");
    if (wasStopped) trace.reasons.set(last, wordsOf(error as Error));
    // Without the SDK's error as the cause: it may quote the source.
    throw new NoCredentialsError(triedSources(env, trace.reasons, wasStopped ? last : "remoteProvider"));
  }
}

/** Follows the SDK's debug messages: which link is asked, and why a link had no keys. */
function createTrace() {
  const reasons = new Map<Link, string>();
  let current: Link = "fromEnv";
  const debug = (...content: unknown[]) => {
    const [message] = content;
    if (typeof message !== "string") return;
    const name = LINK.exec(message)?.[1];
    current = LINKS.find((link) => link === name) ?? current;
    const reason = REASON.exec(message.split("\n", 1)[0] ?? "")?.[1];
    if (reason !== undefined) reasons.set(current, shown(reason));
  };
  const quiet = () => {};
  return { reasons, link: () => current, logger: { debug, trace: quiet, info: quiet, warn: quiet, error: quiet } };
}

/** One line for each source, up to the link that stopped the chain. */
function triedSources(env: ChainEnvironment, reasons: ReadonlyMap<Link, string>, last: Link): string[] {
  const lines: readonly (readonly [Link, string])[] = [
    ["fromEnv", "S3_ACCESS_KEY_ID and AWS_ACCESS_KEY_ID in the environment and .env: not set"],
    ["fromIni", `${originOf("fromIni", env)}: ${profileReason(env, reasons)}`],
    ["fromTokenFile", `AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN: ${identityReason(env, reasons)}`],
    ["remoteProvider", containerLine(env, reasons.get("remoteProvider"))],
    ["remoteProvider", metadataLine(env)],
  ];
  return lines.filter(([link]) => LINKS.indexOf(link) <= LINKS.indexOf(last)).map(([, line]) => line);
}

function profileReason(env: ChainEnvironment, reasons: ReadonlyMap<Link, string>): string {
  if (!sharedFiles(env).some((file) => existsSync(file))) return "neither file exists";
  const reason = reasons.get("fromIni") ?? reasons.get("fromProcess") ?? "failed";
  return reason.startsWith("Could not resolve credentials") ? "no such profile, or none with credentials" : reason;
}

function identityReason(env: ChainEnvironment, reasons: ReadonlyMap<Link, string>): string {
  if (!env["AWS_WEB_IDENTITY_TOKEN_FILE"] || !env["AWS_ROLE_ARN"]) return "not both set";
  return reasons.get("fromTokenFile") ?? "failed";
}

function containerLine(env: ChainEnvironment, reason: string | undefined): string {
  const name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI";
  return `${name}: ${hasContainer(env) ? (reason ?? "no usable answer") : "not set"}`;
}

function metadataLine(env: ChainEnvironment): string {
  const name = "instance metadata (IMDSv2)";
  if (hasContainer(env)) return `${name}: not asked within a container`;
  if (isSet(env["AWS_EC2_METADATA_DISABLED"])) return `${name}: switched off by AWS_EC2_METADATA_DISABLED`;
  return `${name}: no answer, or no role`;
}

function hasContainer(env: ChainEnvironment): boolean {
  return isSet(env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]) || isSet(env["AWS_CONTAINER_CREDENTIALS_FULL_URI"]);
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "" && value !== "false";
}

function originOf(link: Link, env: ChainEnvironment): string {
  if (link === "fromTokenFile") return "web identity";
  if (link === "remoteProvider") return hasContainer(env) ? "container" : "instance metadata";
  return `profile ${JSON.stringify(env["AWS_PROFILE"] || "default")} of ${sharedFiles(env).join(" and ")}`;
}

function sharedFiles(env: ChainEnvironment): string[] {
  const folder = join(env["HOME"] || homedir(), ".aws");
  return [
    env["AWS_SHARED_CREDENTIALS_FILE"] || join(folder, "credentials"),
    env["AWS_CONFIG_FILE"] || join(folder, "config"),
  ];
}

/** The words of an error that stopped the chain, without the text of an answer or a command: that may hold secrets. */
function wordsOf(error: Error): string {
  const { code, path, $metadata } = error as { code?: unknown; path?: unknown; $metadata?: unknown };
  if (error.name === "CredentialsProviderError") return shown(error.message.split("\n", 1)[0] ?? "");
  if (typeof code === "string") return typeof path === "string" ? `${code} ${path}` : code;
  return $metadata === undefined ? error.name : `STS answered ${error.name}`;
}

function shown(reason: string): string {
  if (reason.startsWith("Command failed")) return "its credential_process failed (run it by hand to see why)";
  return reason.slice(0, REASON_LENGTH_MAX);
}
