import { applyRuntimeSettings, isService } from "./cli/runtime-settings.ts";
import { hearEarly } from "./cli/service-signals.ts";

const args = process.argv.slice(2);
const hangups = isService(args) ? hearEarly() : undefined;
applyRuntimeSettings(args, process.env);
// Only now the program itself, so that it is not loaded twice.
const { runToExit } = await import("./cli/run-to-exit.ts");
process.exit(await runToExit(args, process.env, hangups));
