import { Argument, Command, CommanderError } from "commander";
import { suggest } from "../std/suggest.ts";
import { VERSION } from "../version.ts";
import type { BackupOptions } from "./commands/backup-command.ts";
import { completionScript, SHELLS } from "./commands/completion.ts";
import type { ConfigCommandOptions } from "./commands/config-command.ts";
import type { HandlersCheckOptions } from "./commands/handlers-command.ts";
import type { RunOptions } from "./commands/run-command.ts";
import type { StorageCheckOptions } from "./commands/storage-command.ts";
import type { VerifyOptions } from "./commands/verify-command.ts";
import type { CliContext, ConfigOptions } from "./context.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";
import { addExamples } from "./help-examples.ts";
import { addRemoteCommands } from "./remote/add-remote-commands.ts";
import { jsonLine, printableLines } from "./terminal/terminal-text.ts";

/**
 * Runs one command line to its end. Each command is loaded where it is run: to ask a service takes less than half of
 * the time that it would take with all of the service in memory.
 * @throws what the command throws; see `exitCodeOf`
 */
export async function runProgram(args: readonly string[], context: CliContext): Promise<ExitCode> {
  let code: ExitCode = EXIT.done;
  const program = new Command("fetchbox")
    .description("Fetches what manifests list into object storage, and accounts for every URL.")
    .version(VERSION, "-V, --version")
    .configureOutput({
      writeOut: context.out,
      writeErr: context.err,
      // One name before every mistake, whoever finds it.
      outputError: (text, write) => write(printableLines(text.replace(/^error: /, "fetchbox: "))),
    })
    .showHelpAfterError("(fetchbox --help says what there is)")
    .exitOverride();

  withConfig(
    program.command("serve", { isDefault: true }).description("run the service (also with no command)"),
  ).action(async (options: ConfigOptions) => {
    code = await (await import("./commands/serve-command.ts")).serve(options, context);
  });
  withConfig(
    program.command("run").description("run one manifest, or a list of URLs, one a line, to its end in this process"),
  )
    .argument("<file>", "the manifest, a JSON file, or the list; - reads standard input")
    .option("--out <dir>", "store the objects in this directory instead of the configured storage")
    .option("--job-type <name>", "the job type, which names its handler", "default")
    .action(async (file: string, options: RunOptions) => {
      code = await (await import("./commands/run-command.ts")).run(file, options, context);
    });

  addStoreCommands(program, context, (result) => {
    code = result;
  });
  addRemoteCommands(program, context, (result) => {
    code = result;
  });

  addConfigCommands(program, context, (result) => {
    code = result;
  });
  addStorageCheck(program, context, (result) => {
    code = result;
  });
  withConfig(
    program
      .command("handlers")
      .description("look at handlers")
      .command("check")
      .description("show the tasks that a handler makes of a manifest: runs the handler's code, and none of the tasks"),
  )
    .argument("<file>", 'the handler, a .ts or .js file, or "default"')
    .argument("<manifest>", "the manifest, a JSON file")
    .option("--job-type <name>", "take the settings of [handlers.NAME]; else those of the one that has this file")
    .option("--json", "a line of JSON per task")
    .action(async (file: string, manifest: string, options: HandlersCheckOptions) => {
      await (await import("./commands/handlers-command.ts")).handlersCheck(file, manifest, options, context);
    });
  addSmallCommands(program, context);
  addExamples(program);
  refuseUnknown(args, program);
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has said it: help and version end with 0, a mistake with what the contract has for it.
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

function addStoreCommands(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  withConfig(program.command("backup").description("copy the three stores, while a service runs or not"))
    .argument("<dir>", "a directory that is not there yet, or is empty")
    .option("--json", "one line of JSON")
    .action(async (directory: string, options: BackupOptions) => {
      (await import("./commands/backup-command.ts")).backup(directory, options, context);
    });
  withConfig(program.command("verify").description("check the stores against each other and against the storage"))
    .option("--deep", "read every object and compare its SHA-256")
    .option("--repair", "put right what can be without a loss; no service may run")
    .option("--json", "one line of JSON")
    .addHelpText("after", "\nEnds with 0 if all is well, 1 if something is not, 3 if a store cannot be read.")
    .action(async (options: VerifyOptions) => {
      done(await (await import("./commands/verify-command.ts")).verify(options, context));
    });
}

function addConfigCommands(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  const config = program.command("config").description("look at the configuration");
  withConfig(config.command("check").description("say whether it can be used, and every problem if not"))
    .addHelpText("after", "\nLoads the handlers: that runs the code of handlers' files, as a start does.")
    .option("--json", "one line of JSON")
    .action(async (options: ConfigCommandOptions) => {
      done(await (await import("./commands/config-command.ts")).configCheck(options, context));
    });
  withConfig(config.command("print").description("print the effective configuration with the layer of each value"))
    .option("--json", "one line of JSON")
    .action(async (options: ConfigCommandOptions) => {
      (await import("./commands/config-command.ts")).configPrint(options, context);
    });
}

function addSmallCommands(program: Command, context: CliContext): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
    .action((shell: (typeof SHELLS)[number]) => context.out(completionScript(shell, program)));
  program
    .command("version")
    .description("print the version")
    .option("--json", "one line of JSON")
    .action(({ json }: { json?: true }) =>
      context.out(json === true ? jsonLine({ version: VERSION }) : `fetchbox ${VERSION}\n`),
    );
}

/** Said here, since the default command would take the word for an argument of its own. @throws UsageError */
function refuseUnknown([word = "", asked = ""]: readonly string[], program: Command): void {
  const known = program.commands.map((command) => command.name());
  const first = word === "help" ? asked : word;
  if (first === "" || first === "help" || first.startsWith("-") || known.includes(first)) return;
  const meant = suggest(first, known);
  const hint = meant === undefined ? ";" : `; did you mean ${meant}?`;
  throw new UsageError(`there is no command ${first.slice(0, 40)}${hint} fetchbox --help says which there are`);
}

function addStorageCheck(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  withConfig(
    program
      .command("storage")
      .description("look at the storage")
      .command("check")
      .description("try what FetchBox asks of the storage, with objects that are removed at the end"),
  )
    .option("--bucket <name>", "the bucket, may be repeated; else storage.bucket", (name, names: string[] = []) => [
      ...names,
      name,
    ])
    .option("--all-buckets", "every bucket of the configuration")
    .option("--json", "one line of JSON")
    .addHelpText("after", "\nEnds with 0 if all is well, also with notes; 1 if a step failed.")
    .action(async (options: StorageCheckOptions) => {
      done(await (await import("./commands/storage-command.ts")).storageCheck(options, context));
    });
}

function withConfig(command: Command): Command {
  return command
    .option("--config <file>", "the TOML file; else FETCHBOX_CONFIG, else config/fetchbox.toml where it exists")
    .option("--env-file <file>", "the .env file; else .env beside the TOML file");
}
