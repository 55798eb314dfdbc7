import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ConfigError, type Problem } from "../../src/config/config-error.ts";
import { type LoadOptions, loadLayers } from "../../src/config/load-config.ts";
import type { Config } from "../../src/config/schema.ts";

type Options = Partial<Omit<LoadOptions, "cwd">>;

/** A working directory of its own; it is removed at the end of `using`. */
export interface Project extends Disposable {
  readonly cwd: string;
  write(name: string, content: string | Uint8Array): string;
  load(options?: Options): Config;
  /** The problems of a configuration that must not load. */
  problems(options?: Options): readonly Problem[];
}

/** Makes a project whose config/fetchbox.toml is `toml`, or has none. */
export function createProject(toml?: string): Project {
  const cwd = mkdtempSync(join(tmpdir(), "fetchbox-config-"));
  const project: Project = {
    cwd,
    write(name, content) {
      const file = join(cwd, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      return file;
    },
    load: (options = {}) => loadLayers({ env: {}, cwd, ...options }).config,
    problems(options) {
      try {
        project.load(options);
      } catch (error) {
        if (error instanceof ConfigError) return error.problems;
        throw error;
      }
      throw new Error("the configuration loaded although it should not");
    },
    [Symbol.dispose]: () => rmSync(cwd, { recursive: true, force: true }),
  };
  if (toml !== undefined) project.write("config/fetchbox.toml", toml);
  return project;
}

/** The only problem of a file, as it is printed. */
export function onlyProblem(toml: string, env: Record<string, string> = {}): string {
  using project = createProject(toml);
  const problems = project.problems({ env });
  return new ConfigError(problems).message;
}
