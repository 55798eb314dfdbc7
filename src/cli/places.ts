import { dirname, isAbsolute, relative } from "node:path";
import type { LoadedConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";

/** Where a configuration comes from, and where its data and its objects lie, in one line for people. */
export function placesText({ config, file }: Pick<LoadedConfig, "config" | "file">, cwd: string): string {
  const parts = {
    configuration: configurationText(file),
    data: dataText(config, cwd),
    storage: storageText(config.storage, cwd),
  };
  return Object.entries(parts)
    .map(([name, place]) => `${name}: ${place}`)
    .join(" · ");
}

export function configurationText(file: string | undefined): string {
  return file ?? "built-in defaults";
}

/** The folder of the three stores, or each one's where they have none together. */
export function dataText({ queue, ledger, dlq }: Config, cwd: string): string {
  const parents = new Set([queue, ledger, dlq].map(({ path }) => dirname(path)));
  const [parent = ""] = parents;
  if (parents.size === 1) return pathText(parent, cwd);
  const stores = { queue, ledger, dlq };
  return Object.entries(stores)
    .map(([name, { path }]) => `${name} ${pathText(path, cwd)}`)
    .join(", ");
}

export function storageText({ backend, path, endpoint, region, bucket }: Config["storage"], cwd: string): string {
  if (backend === "local") return `local ${pathText(path, cwd)}`;
  return `s3 ${endpoint === "" ? `AWS ${region}` : endpoint} bucket ${bucket}`;
}

/** `./data` for what is below the working directory; else the whole path. */
function pathText(path: string, cwd: string): string {
  const below = relative(cwd, path);
  return below.startsWith("..") || isAbsolute(below) ? path : `./${below}`;
}
