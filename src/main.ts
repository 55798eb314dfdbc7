import { applyRuntimeSettings } from "./cli/runtime-settings.ts";

// Bun's fetch would go past the proxies of the configuration for what these name.
delete process.env["NO_PROXY"];
delete process.env["no_proxy"];

const args = process.argv.slice(2);
applyRuntimeSettings(args, process.env);
// Only now the program itself, so that it is not loaded twice.
const { runToExit } = await import("./cli/run-to-exit.ts");
process.exit(await runToExit(args, process.env));
