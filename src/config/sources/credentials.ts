import { FileText } from "./file-text.ts";
import { getFromTree, setInTree, type Tree } from "./tree.ts";
import type { Variable } from "./variables.ts";

const REGIONS = ["AWS_REGION", "AWS_DEFAULT_REGION"] as const;
const PARTS = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"] as const;

/**
 * Takes the credentials of an S3 backend from S3_* or AWS_* variables where the configuration has none of its own. The
 * parts are never mixed: an S3_* key with the session token of an ambient AWS_* one would be refused by the service.
 */
export function addCredentials(
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  setSource: (path: readonly string[], source: string) => void,
): void {
  if (!isS3(tree)) return;
  if (getFromTree(tree, ["storage", "credentials"]) !== undefined) return;
  const valueOf = (family: string, part: string) => variables.get(`${family}_${part}`)?.value.trim() ?? "";
  const family = ["S3", "AWS"].find((name) => valueOf(name, PARTS[0]) !== "" || valueOf(name, PARTS[1]) !== "");
  if (family === undefined) return;
  for (const part of PARTS) {
    const value = valueOf(family, part);
    if (value === "") continue;
    const path = ["storage", "credentials", part.toLowerCase()];
    setInTree(tree, path, value);
    setSource(path, variables.get(`${family}_${part}`)?.source ?? "");
  }
}

/**
 * Takes the region of an S3 backend from AWS_REGION or AWS_DEFAULT_REGION where the configuration has none of its own.
 */
export function addRegion(
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  setSource: (path: readonly string[], source: string) => void,
): void {
  const path = ["storage", "region"];
  if (!isS3(tree) || getFromTree(tree, path) !== undefined) return;
  const [found] = REGIONS.flatMap((name) => variables.get(name) ?? []).filter(({ value }) => value.trim() !== "");
  if (found === undefined) return;
  setInTree(tree, path, found.value.trim());
  setSource(path, found.source);
}

function isS3(tree: Tree): boolean {
  const backend = getFromTree(tree, ["storage", "backend"]);
  return (backend instanceof FileText ? backend.text : backend) === "s3";
}
