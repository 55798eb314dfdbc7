import { ConfigError } from "../../config/config-error.ts";
import type { StorageConfig } from "../../config/schema.ts";
import type { Clock } from "../../std/clock.ts";
import { askChain, NoCredentialsError } from "../../storage/s3/credentials/credential-chain.ts";
import type { CredentialSource, IssuedCredentials } from "../../storage/s3/credentials/credential-source.ts";
import { RenewedCredentials } from "../../storage/s3/credentials/renewed-credentials.ts";
import type { Log } from "../../telemetry/log.ts";

interface CredentialDeps {
  readonly storage: StorageConfig;
  /** Reads the AWS_* variables that .env adds to the environment. @throws ConfigError */
  readonly awsVariables: () => Readonly<Record<string, string>>;
  /** The process's own environment: the SDK reads it, so the chain finds the variables of .env there. */
  readonly env: Record<string, string | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The keys of the S3 storage: those of the configuration, else those that the chain of the AWS SDK finds. */
export interface S3Access extends CredentialSource {
  /**
   * Takes new settings, asks the chain anew, and returns where the keys are from. If that fails, the keys stay.
   * @throws ConfigError, NoCredentialsError
   */
  reload(storage: StorageConfig): Promise<string>;
}

/** Finds the first keys. @throws ConfigError where no source has any */
export async function openS3Access(deps: CredentialDeps): Promise<S3Access> {
  const { env, clock, log } = deps;
  let { storage } = deps;
  let added: readonly string[] = [];
  let isEnvRead = false;

  /** Sets the variables of .env, as if the process had been started with them. */
  function readEnv(): void {
    const variables = deps.awsVariables();
    for (const name of added) delete env[name];
    added = Object.keys(variables);
    Object.assign(env, variables);
    isEnvRead = true;
  }

  async function load(): Promise<IssuedCredentials> {
    if (storage.credentials !== undefined) return configuredKeys(storage.credentials);
    if (!isEnvRead) readEnv();
    return askChain(env, storage.region);
  }

  const tell = ({ origin, expiresAt }: IssuedCredentials) => {
    const expires = expiresAt === undefined ? {} : { expires_at: new Date(expiresAt).toISOString() };
    log.info({ origin, ...expires }, "the S3 credentials are found");
  };
  const renewed = new RenewedCredentials({
    load,
    clock,
    onChange: tell,
    onProblem: (problem) => log.warn({ reason: problem.message }, "the S3 credentials could not be renewed"),
  });
  const first = await renewed.renew().catch((error: unknown) => {
    throw startError(error);
  });
  if (storage.credentials === undefined) tell(first);
  return {
    current: (signal) => renewed.current(signal),
    refused: (keys) => renewed.refused(keys),
    async reload(changed) {
      storage = changed;
      isEnvRead = false;
      return (await renewed.renew()).origin;
    },
  };
}

function configuredKeys(credentials: NonNullable<StorageConfig["credentials"]>): IssuedCredentials {
  const { access_key_id: id, secret_access_key: secret, session_token: token } = credentials;
  const session = token === undefined ? {} : { sessionToken: token.reveal() };
  return {
    keys: { accessKeyId: id.reveal(), secretAccessKey: secret.reveal(), ...session },
    origin: "configuration",
  };
}

function startError(error: unknown): unknown {
  if (!(error instanceof NoCredentialsError)) return error;
  const message = `"s3" needs credentials, and no source gave any:${error.tried.map((line) => `\n  ${line}`).join("")}`;
  return new ConfigError([{ source: "S3 credentials", key: "storage.backend", message }], { cause: error });
}
