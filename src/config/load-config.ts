import { dirname, join, resolve } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { ConfigError, certificateCheckProblem, type Problem } from "./config-error.ts";
import { crossCheck } from "./cross-checks.ts";
import { decode } from "./decode.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { addCredentials, addRegion, readEnvLayer, unknownVariables } from "./sources/env-layer.ts";
import { type KeyPath, keyText, nearest, shownKey } from "./sources/key-path.ts";
import { readTomlFile, type TomlFile } from "./sources/toml-file.ts";
import { emptyTree, expandTree, FileText, getFromTree, leavesOf, mergeTrees, type Tree } from "./sources/tree.ts";
import { type EnvFile, readVariables } from "./sources/variables.ts";
import { HandlerSchema } from "./transfer-schema.ts";

export interface LoadOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The absolute folder that relative paths start from. */
  readonly cwd: string;
  /** `--config`; else FETCHBOX_CONFIG, else config/fetchbox.toml if it exists. */
  readonly configPath?: string | undefined;
  /** `--env-file`; else .env beside the TOML file, or in `cwd` without a TOML file. */
  readonly envFile?: string | undefined;
  /** The values of the command line, shaped like the file; they override every other layer. */
  readonly overrides?: Tree | undefined;
}

/** A configuration with its origins. */
export interface LoadedConfig {
  readonly config: Config;
  /** The TOML file's name for messages, or `undefined` without a file. */
  readonly file: string | undefined;
  /** Findings that are allowed, but most likely not meant. */
  readonly warnings: readonly Problem[];
  /** The layer that sets a value. */
  readonly layerOf: (path: KeyPath) => ValueLayer;
  /** The file's text of a value with references, or `undefined` for a value without any. The values may be secret. */
  readonly writtenAt: (path: KeyPath) => string | undefined;
}

export interface ValueLayer {
  readonly layer: "default" | "file" | ".env" | "environment" | "command line";
  /** `config/fetchbox.toml:12`, `config/.env:3`, `environment NAME`, or the layer's own name. */
  readonly source: string;
}

/** A shorter value may equal a harmless word or number in a message. */
const SECRET_LENGTH_MIN = 8;
const HEAD_TIMEOUT_MS = 30_000;
const COMMAND_LINE = "command line";
const DEFAULT_FILE = "config/fetchbox.toml";
const DEFAULT_HANDLERS = ["default", "fetchbox::handlers::DefaultHandler"];

/**
 * The effective configuration, checked, with absolute paths: defaults, TOML file, .env, environment, overrides. Reads
 * only these two files, and checks that handler files exist. @throws ConfigError with every problem found
 */
export function loadLayers(options: LoadOptions): LoadedConfig {
  const uncheckedTls = certificateCheckProblem(options.env);
  const problems = uncheckedTls === undefined ? [] : [uncheckedTls];
  const toml = readToml(options);
  const variables = readVariables(options.env, envFileOf(options, toml?.name), problems);

  const sources = new Map<string, string>();
  const setSource = (path: KeyPath, source: string) => void sources.set(keyText(path), source);
  const report = (path: KeyPath, message: string) => {
    const source = nearest(sources, path) ?? toml?.file.sourceOf(path) ?? "defaults";
    problems.push({ source, key: shownKey(path), message: withoutValues(message, referred) });
  };

  const referred = new Map<string, string>();
  const lookup = (name: string) => {
    const value = variables.get(name)?.value;
    if (value !== undefined) referred.set(name, value);
    return value;
  };
  const fromFile = expandTree(toml?.file.tree ?? {}, lookup, report);
  const fromEnv = readEnvLayer(fromFile, variables, problems, setSource);
  const overrides = mergeTrees(emptyTree(), options.overrides ?? {});
  for (const [path] of leavesOf(overrides)) setSource(path, COMMAND_LINE);
  const tree = mergeTrees(mergeTrees(fromFile, fromEnv), overrides);
  addCredentials(tree, variables, setSource);
  addRegion(tree, variables, setSource);

  const config = decodeAndCheck(tree, options.cwd, report);
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    config,
    file: toml?.name,
    warnings: unknownVariables(fromFile, variables),
    layerOf: (path) => {
      if (getFromTree(tree, path) === undefined) return { layer: "default", source: "default" };
      const source = nearest(sources, path);
      if (source !== undefined) return { layer: layerOfSource(source), source };
      return { layer: "file", source: toml?.file.sourceOf(path) ?? "file" };
    },
    writtenAt: (path) => {
      const raw = getFromTree(tree, path);
      return raw instanceof FileText && raw.template !== raw.text ? raw.template : undefined;
    },
  };
}

/** The message with `${NAME}` in place of each value that the file refers to. */
function withoutValues(message: string, referred: ReadonlyMap<string, string>): string {
  const values = [...referred].filter(([, value]) => value.length >= SECRET_LENGTH_MIN);
  return values.reduce((text, [name, value]) => text.replaceAll(value, () => `\${${name}}`), message);
}

/** The layer above the file that a source belongs to. */
function layerOfSource(source: string): ValueLayer["layer"] {
  if (source === COMMAND_LINE) return COMMAND_LINE;
  return source.startsWith("environment ") ? "environment" : ".env";
}

/** Unknown FETCHBOX_ variables of the environment alone, for commands that read no configuration. */
export function unknownInEnvironment(env: LoadOptions["env"]): Problem[] {
  const variables = Object.entries(env).map(
    ([name, value = ""]) => [name, { value, source: `environment ${name}` }] as const,
  );
  return unknownVariables(emptyTree(), new Map(variables));
}

/** The AWS_* variables that only .env sets: the AWS SDK does not read .env. @throws ConfigError */
export function loadAwsVariables(options: LoadOptions): Record<string, string> {
  const variables = readVariables(options.env, envFileOf(options, readToml(options)?.name), []);
  const added = [...variables].filter(([name]) => name.startsWith("AWS_") && options.env[name] === undefined);
  return Object.fromEntries(added.map(([name, { value }]) => [name, value]));
}

function decodeAndCheck(tree: Tree, cwd: string, report: (path: KeyPath, message: string) => void): Config {
  const unusable: string[] = [];
  // With an unusable value, problems were reported, and the result is used by the checks only.
  const config = decode(ConfigSchema, tree, [], (path, message, isUnusable) => {
    report(path, message);
    if (isUnusable) unusable.push(keyText(path));
  }) as Config;
  const usable = (...paths: readonly KeyPath[]) =>
    !paths.some((path) => unusable.some((key) => isBelow(key, keyText(path)) || isBelow(keyText(path), key)));

  for (const section of ["queue", "ledger", "dlq", "storage"] as const) {
    if (usable([section, "path"])) config[section].path = resolve(cwd, config[section].path);
  }
  for (const section of ["tls", "storage"] as const) {
    if (!usable([section, "ca_file"]) || config[section].ca_file === "") continue;
    config[section].ca_file = resolve(cwd, config[section].ca_file);
  }
  config.handlers["default"] ??= defaultHandler();
  for (const [name, handler] of Object.entries(config.handlers)) {
    if (!usable(["handlers", name, "handler"])) continue;
    handler.handler = DEFAULT_HANDLERS.includes(handler.handler) ? "default" : resolve(cwd, handler.handler);
  }
  // Without a value here, the list of the configuration would lack the key.
  config.download.head_timeout_ms ??= defaultHeadTimeout(config.download);
  crossCheck({ config, usable, report });
  return config;
}

function defaultHeadTimeout({ connect_timeout_ms: connect, idle_timeout_ms: idle }: Config["download"]): number {
  return Math.min(HEAD_TIMEOUT_MS, connect + idle);
}

function defaultHandler(): Config["handlers"][string] {
  return Value.Decode(HandlerSchema, Value.Default(HandlerSchema, { handler: "default", proxy: {}, storage: {} }));
}

/** Whether the key is the other one or lies below it. */
function isBelow(key: string, other: string): boolean {
  return key === other || key.startsWith(`${other}.`) || key.startsWith(`${other}[`);
}

function readToml({ env, cwd, configPath }: LoadOptions): { file: TomlFile; name: string } | undefined {
  const named = configPath ?? (env["FETCHBOX_CONFIG"] || undefined);
  const name = named ?? DEFAULT_FILE;
  const file = readTomlFile(resolve(cwd, name), name);
  if (file !== undefined) return { file, name };
  if (named === undefined) return undefined;
  const by = configPath === undefined ? "FETCHBOX_CONFIG" : "--config";
  throw new ConfigError([{ source: name, key: "", message: `does not exist, but ${by} names it` }]);
}

function envFileOf({ cwd, envFile }: LoadOptions, tomlName: string | undefined): EnvFile {
  const name = envFile ?? (tomlName === undefined ? ".env" : join(dirname(tomlName), ".env"));
  return { file: resolve(cwd, name), name, named: envFile !== undefined };
}

/** A part of the service that accepts a new configuration while it runs. */
export interface Reloadable {
  /** The part's name in the log. */
  readonly name: string;
  /** The keys that it reloads, with all keys below them: `download.host`. */
  readonly keys: readonly string[];
  /** Returns the result for the log, without a secret. If it fails, the part keeps its old configuration. */
  readonly reload: (config: Config) => string | Promise<string>;
}
