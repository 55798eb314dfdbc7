import type { Config } from "../../config/schema.ts";
import { Secret } from "../../config/values/secret.ts";

/** A shorter part may be a common word, so it is not masked on its own. */
const PART_LENGTH_MIN = 8;
/** A shorter value is too weak to be a secret, and its mask would match everywhere. */
const VALUE_LENGTH_MIN = 4;

/** The secrets in the handlers' headers: a peer may repeat them in its answer. */
export function handlerSecrets({ handlers }: Pick<Config, "handlers">): string[] {
  return Object.values(handlers).flatMap((handler) => headerSecrets(handler.default_headers));
}

export function hostSecrets({ hosts }: Pick<Config["download"], "hosts">): string[] {
  return Object.values(hosts).flatMap(({ headers = {} }) => headerSecrets(headers));
}

export function proxySecrets({ proxies }: Pick<Config, "proxies">): string[] {
  const endpoints = Object.values(proxies).flatMap((pool) => pool.endpoints);
  return endpoints.flatMap(({ credentials }) => (credentials === undefined ? [] : textsOf(credentials.password)));
}

function headerSecrets(headers: Readonly<Record<string, string | Secret>>): string[] {
  return Object.values(headers).flatMap((value) => (value instanceof Secret ? textsOf(value) : []));
}

function textsOf(secret: Secret): string[] {
  const parts = secret.revealParts().filter((part) => part.length >= PART_LENGTH_MIN);
  return [secret.reveal(), ...parts].filter((text) => text.length >= VALUE_LENGTH_MIN);
}
