import type { Reloadable } from "../config/load-config.ts";
import type { Config } from "../config/schema.ts";
import { type AccessToken, accessTokenOwner } from "../config/values/access-token.ts";
import { counted } from "../std/counted.ts";
import { hostHeaders } from "./downloads/header-tables.ts";
import { hostSecrets } from "./downloads/sent-secrets.ts";
import type { Foundation } from "./foundation.ts";
import type { S3Access } from "./storage/s3-credentials.ts";
import type { Work } from "./work.ts";

/** The parts that accept a new configuration without a restart. */
export function createReloadables(
  { log, access }: Pick<Foundation, "log" | "access">,
  { hosts, configuredHeaders, secrets }: Pick<Work, "hosts" | "configuredHeaders" | "secrets">,
  credentials: Pick<S3Access, "reload"> | undefined,
): Reloadable[] {
  return [
    { name: "access tokens", keys: ["server.auth.tokens"], reload: (config) => setTokens(access, config) },
    ...(credentials === undefined ? [] : [s3Credentials(credentials)]),
    {
      name: "log level",
      keys: ["log.level"],
      reload: (config) => {
        log.level = config.log.level;
        return log.level;
      },
    },
    {
      name: "host limits",
      keys: ["download.host", "download.hosts"],
      reload: (config) => {
        hosts.setLimits(config.download);
        secrets.add(hostSecrets(config.download));
        configuredHeaders.setHosts(hostHeaders(config.download));
        const patterns = Object.keys(config.download.hosts).length;
        const atOnce = counted(config.download.host.max_concurrency, "download");
        return `${atOnce} at a time, ${counted(patterns, "host pattern")} with limits of their own`;
      },
    },
  ];
}

/** Replaces the tokens. It refuses to remove the last one, since the address of the service does not change. */
function setTokens(access: Foundation["access"], { server: { auth } }: Config): string {
  if (auth.tokens.length === 0 && access.tokens.length > 0) {
    throw new Error("server.auth.tokens is empty now: that opens the service to everyone, and needs a restart");
  }
  const [before, now] = [identitiesOf(access.tokens), identitiesOf(auth.tokens)];
  const [added, removed] = [now.difference(before).size, before.difference(now).size];
  access.tokens = auth.tokens;
  const count = counted(auth.tokens.length, "token");
  // The environment overrides the files, and a reload cannot change it.
  return added + removed === 0 ? `${count}, as before` : `${count}, ${added} new, ${removed} gone`;
}

/** The tokens with their owners, for comparison alone. */
function identitiesOf(tokens: readonly AccessToken[]): Set<string> {
  return new Set(tokens.map((each) => `${accessTokenOwner(each)}:${each.token.reveal()}`));
}

function s3Credentials(credentials: Pick<S3Access, "reload">): Reloadable {
  return {
    name: "S3 credentials",
    keys: ["storage.credentials"],
    reload: ({ storage }) => credentials.reload(storage),
  };
}
