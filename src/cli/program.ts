import { Argument, Command, CommanderError } from "commander";
import { suggest } from "../std/suggest.ts";
import { BUILD, VERSION } from "../version.ts";
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
 * Runs one command line and returns its exit code. It loads a command only to run it, because a request to a service
 * takes less than half the time without the service's own code.
 * @throws the command's errors; see `exitCodeOf`
 */
export async function runProgram(args: readonly string[], context: CliContext): Promise<ExitCode> {
  let code: ExitCode = EXIT.done;
  const program = new Command("fetchbox")
    .description("Downloads the resources of manifests into object storage and accounts for every URL.")
    .version(VERSION, "-V, --version")
    .configureOutput({
      writeOut: context.out,
      writeErr: context.err,
      // Every error message begins with the program's name.
      outputError: (text, write) => write(printableLines(text.replace(/^error: /, "fetchbox: "))),
    })
    .showHelpAfterError("(fetchbox --help lists commands and options)")
    .exitOverride();

  withConfig(program.command("serve", { isDefault: true }).description("run the service (the default command)")).action(
    async (options: ConfigOptions) => {
      code = await (await import("./commands/serve-command.ts")).serve(options, context);
    },
  );
  withConfig(program.command("run").description("run one manifest or list of URLs in this process, without a service"))
    .argument("<file>", "a manifest (JSON), or a list with one URL per line; - is standard input")
    .option("--out <dir>", "store the objects in this directory instead of the configured storage")
    .option("--job-type <name>", "the job type, which selects the handler", "default")
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
      .description("test handlers")
      .command("check")
      .description("run a handler's code on a manifest and show its tasks, without a download"),
  )
    .argument("<file>", 'the handler: a .ts or .js file, or "default"')
    .argument("<manifest>", "the manifest (JSON)")
    .option("--job-type <name>", "use the settings of [handlers.NAME]; default: the handler with this file")
    .option("--json", "print a line of JSON per task")
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
    // Commander has printed the message. Its exit code is 0 after help and version only.
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

function addStoreCommands(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  withConfig(program.command("backup").description("copy the three stores, also while the service runs"))
    .argument("<dir>", "a new or empty directory")
    .option("--json", "print one line of JSON")
    .action(async (directory: string, options: BackupOptions) => {
      (await import("./commands/backup-command.ts")).backup(directory, options, context);
    });
  withConfig(program.command("verify").description("compare the stores with one another and with the storage"))
    .option("--deep", "read every object and compare its SHA-256")
    .option("--repair", "repair the inconsistencies, unless data is lost; the service must not run")
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExit code: 0 no inconsistencies, 1 inconsistencies, 3 a store is damaged or missing.")
    .action(async (options: VerifyOptions) => {
      done(await (await import("./commands/verify-command.ts")).verify(options, context));
    });
}

function addConfigCommands(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  const config = program.command("config").description("check or print the configuration");
  withConfig(config.command("check").description("check the configuration and list every problem"))
    .addHelpText("after", "\nThe check loads the handlers and so runs the code of their files, as a start does.")
    .option("--json", "print one line of JSON")
    .action(async (options: ConfigCommandOptions) => {
      done(await (await import("./commands/config-command.ts")).configCheck(options, context));
    });
  withConfig(config.command("print").description("print the effective configuration with the layer of each value"))
    .option("--json", "print one line of JSON")
    .action(async (options: ConfigCommandOptions) => {
      (await import("./commands/config-command.ts")).configPrint(options, context);
    });
}

function addSmallCommands(program: Command, context: CliContext): void {
  program
    .command("completion")
    .description("print a shell script that completes commands and options")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .action((shell: (typeof SHELLS)[number]) => context.out(completionScript(shell, program)));
  program
    .command("man")
    .description("print the manual page; man -l - shows it")
    .action(async () => {
      const { manPage } = await import("./commands/man-page.ts");
      context.out(manPage(program, VERSION));
    });
  program
    .command("version")
    .description("print the version, the commit and the runtime of this build")
    .option("--json", "print one line of JSON")
    .action(({ json }: { json?: true }) => context.out(json === true ? jsonLine(BUILD) : versionText()));
}

function versionText(): string {
  const commit = BUILD.commit === "" ? "" : `commit ${BUILD.commit}, `;
  return `fetchbox ${VERSION} (${commit}Bun ${BUILD.bun}, ${BUILD.platform})\n`;
}

/** Without this check, the default command would read an unknown word as its own argument. @throws UsageError */
function refuseUnknown([word = "", asked = ""]: readonly string[], program: Command): void {
  const known = program.commands.map((command) => command.name());
  const first = word === "help" ? asked : word;
  if (first === "" || first === "help" || first.startsWith("-") || known.includes(first)) return;
  const meant = suggest(first, known);
  const hint = meant === undefined ? "fetchbox --help lists the commands" : `did you mean '${meant}'?`;
  throw new UsageError(`unknown command '${first.slice(0, 40)}'; ${hint}`);
}

function addStorageCheck(program: Command, context: CliContext, done: (code: ExitCode) => void): void {
  withConfig(
    program
      .command("storage")
      .description("test the storage")
      .command("check")
      .description("try every storage operation that FetchBox needs, with test objects that it removes"),
  )
    .option(
      "--bucket <name>",
      "check this bucket; repeatable; default: storage.bucket",
      (name, names: string[] = []) => [...names, name],
    )
    .option("--all-buckets", "check every bucket of the configuration")
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExit code: 0 every step succeeded, perhaps with notes; 1 a step failed.")
    .action(async (options: StorageCheckOptions) => {
      done(await (await import("./commands/storage-command.ts")).storageCheck(options, context));
    });
}

function withConfig(command: Command): Command {
  return command
    .option("--config <file>", "the TOML file; default: FETCHBOX_CONFIG, else config/fetchbox.toml if it exists")
    .option("--env-file <file>", "the .env file; default: .env beside the TOML file");
}
