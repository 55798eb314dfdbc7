import { applyRuntimeSettings, isService } from "./cli/runtime-settings.ts";
import { hearEarly } from "./cli/service-signals.ts";

const args = process.argv.slice(2);
const hangups = isService(args) ? hearEarly() : undefined;
applyRuntimeSettings(args, process.env);
// The program itself loads after the possible restart, so that it loads only once.
const { runToExit } = await import("./cli/run-to-exit.ts");
process.exit(await runToExit(args, process.env, hangups));
