import type { Argument, Command } from "commander";
import { EXIT_MEANINGS } from "../exit-code.ts";

/** The variables that a command reads, beside the keys of the configuration. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  FETCHBOX_CONFIG: "The TOML file of the configuration.",
  FETCHBOX__SECTION__KEY: "A value of the configuration; FETCHBOX__QUEUE__WORKERS=16 sets [queue] workers.",
  FETCHBOX_SERVER: "URL of the service that a command asks; default: http://127.0.0.1:8080.",
  FETCHBOX_TOKEN: "Token for that service.",
};

const FILES: Readonly<Record<string, string>> = {
  "config/fetchbox.toml": "The configuration, if it exists and no other is named.",
  "data/": "The stores and, with local storage, the objects.",
};

/**
 * The manual page of the program in section 1, made from its command tree: man(7) macros, which `man -l -` shows.
 */
export function manPage(program: Command, version: string): string {
  const commands = leavesOf(program, program.name());
  return [
    `.TH FETCHBOX 1 "" "FetchBox ${version}" "User Commands"`,
    ".SH NAME",
    "fetchbox \\- downloads very many URLs into object storage and accounts for each of them",
    ".SH SYNOPSIS",
    ...commands.flatMap(({ path, command }) => [`.B ${text(path)}`, text(usageOf(command)), ".br"]).slice(0, -1),
    ".SH DESCRIPTION",
    text(program.description()),
    "Without a command, fetchbox runs the service.",
    ".SH COMMANDS",
    ...commands.flatMap(({ path, command }) => commandLines(path, command)),
    ".SH EXIT STATUS",
    ...Object.entries(EXIT_MEANINGS).flatMap(([code, meaning]) => [".TP", `.B ${code}`, text(meaning)]),
    ".SH ENVIRONMENT",
    ...definitions(ENVIRONMENT),
    ".SH FILES",
    ...definitions(FILES),
    "",
  ].join("\n");
}

interface Leaf {
  readonly path: string;
  readonly command: Command;
}

/** The commands without subcommands, in their order. */
function leavesOf(command: Command, path: string): Leaf[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((child) => leavesOf(child, `${path} ${child.name()}`));
}

function usageOf(command: Command): string {
  return ["[options]", ...command.registeredArguments.map(termOf)].join(" ");
}

function termOf(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
}

function commandLines(path: string, command: Command): string[] {
  const help = command.createHelp();
  const args = command.registeredArguments.filter(({ description }) => description !== "");
  return [
    `.SS ${text(path.replace(/^fetchbox /, ""))} ${text(usageOf(command))}`,
    text(`${command.description()}.`),
    ...args.flatMap((argument) => term(argument.name(), help.argumentDescription(argument))),
    ...command.options.flatMap((option) => term(help.optionTerm(option), help.optionDescription(option))),
    ...afterHelp(command),
  ];
}

function term(name: string, description: string): string[] {
  return [".TP", `.B ${text(name)}`, text(description)];
}

function definitions(entries: Readonly<Record<string, string>>): string[] {
  return Object.entries(entries).flatMap(([name, meaning]) => term(name, meaning));
}

/** The text below the options in the command's help: notes and examples, line by line. */
function afterHelp(command: Command): string[] {
  let shown = "";
  command.configureOutput({
    writeOut: (part) => {
      shown += part;
    },
  });
  command.outputHelp();
  const after = shown.slice(command.helpInformation().length).trim();
  return after === "" ? [] : [".PP", ".nf", ...after.split("\n").map(text), ".fi"];
}

/** Text without a meaning for roff; a hyphen stays a hyphen, so that options can be copied. */
function text(words: string): string {
  return words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/, "\\&");
}
