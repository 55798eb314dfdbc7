import type { Config } from "../../config/schema.ts";
import { Secret } from "../../config/values/secret.ts";

/** A shorter part may be any word; what a header's value is made of is no secret then. */
const PART_LENGTH_MIN = 8;
/** Shorter values hide nothing, and would be found everywhere. */
const VALUE_LENGTH_MIN = 4;

/** The secrets of the configuration that requests carry: a peer may answer with them. */
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
