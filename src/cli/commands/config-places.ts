import { dirname, isAbsolute, relative } from "node:path";
import type { LoadedConfig } from "../../config/load-config.ts";
import type { Config } from "../../config/schema.ts";

type Loaded = Pick<LoadedConfig, "config" | "file" | "writtenAt">;

/** The places of the configuration file, the data and the objects, in one line for people. */
export function placesText(loaded: Loaded, cwd: string): string {
  return Object.entries(placeTexts(loaded, cwd))
    .map(([name, place]) => `${name}: ${place}`)
    .join(" · ");
}

/** The places of the configuration file, the data and the objects, one by one. */
export function placeTexts(loaded: Loaded, cwd: string) {
  const [queue, ledger, dlq] = [asWritten("queue", loaded), asWritten("ledger", loaded), asWritten("dlq", loaded)];
  return {
    configuration: configurationText(loaded.file),
    data: dataText({ queue, ledger, dlq }, cwd),
    storage: storageText(asWritten("storage", loaded), cwd),
  };
}

/** A table of the configuration, in which a text with references is as the file has it. */
function asWritten<T extends "queue" | "ledger" | "dlq" | "storage">(
  table: T,
  { config, writtenAt }: Loaded,
): Config[T] {
  const texts = Object.keys(config[table]).map((key) => [key, writtenAt([table, key])] as const);
  return { ...config[table], ...Object.fromEntries(texts.filter(([, text]) => text !== undefined)) };
}

export function configurationText(file: string | undefined): string {
  return file ?? "built-in defaults";
}

/** The common folder of the three stores, or the folder of each. */
function dataText({ queue, ledger, dlq }: Pick<Config, "queue" | "ledger" | "dlq">, cwd: string): string {
  const parents = new Set([queue, ledger, dlq].map(({ path }) => (path.includes("/") ? dirname(path) : path)));
  const [parent = ""] = parents;
  if (parents.size === 1) return pathText(parent, cwd);
  const stores = { queue, ledger, dlq };
  return Object.entries(stores)
    .map(([name, { path }]) => `${name} ${pathText(path, cwd)}`)
    .join(", ");
}

function storageText({ backend, path, endpoint, region, bucket }: Config["storage"], cwd: string): string {
  if (backend === "local") return `local ${pathText(path, cwd)}`;
  return `s3 ${endpoint === "" ? `AWS ${region}` : endpoint} bucket ${bucket}`;
}

/** `./data` for a path below the working directory; else the whole path, or the file's text with references. */
function pathText(path: string, cwd: string): string {
  if (!isAbsolute(path)) return path;
  const below = relative(cwd, path);
  return below.startsWith("..") || isAbsolute(below) ? path : `./${below}`;
}
