import type { Command, Option } from "commander";
import { JOB_STATUSES } from "../../jobs/job.ts";
import { TASK_STATES } from "../../jobs/task.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** The values of options with a fixed choice. Any other option takes free text or a file. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  "jobs --status": JOB_STATUSES,
  "cancel --status": ["queued", "in_progress"],
  "resources --state": TASK_STATES,
  "logs --level": ["debug", "info", "warn", "error"],
  "dlq analyze --by": ["code", "host", "job_type", "day"],
};
const FILE_OPTIONS = ["--config", "--env-file", "--out"];
const FILE_ARGUMENTS = ["file", "manifest", "dir"];

interface Flag {
  readonly name: string;
  readonly about: string;
  /** The kind of the option's value; a list holds the possible words. */
  readonly value: "none" | "file" | "free" | readonly string[];
}

/** A command or a group of commands, with its subcommands and flags. */
interface Place {
  /** `dlq list`; empty for the program itself. */
  readonly path: string;
  readonly words: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly Flag[];
  readonly takesFile: boolean;
}

/** A script that completes the program's commands and options in a shell, made from the command tree. */
export function completionScript(shell: Shell, program: Command): string {
  const places = placesOf(program, "");
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](places);
}

function placesOf(command: Command, path: string): Place[] {
  const children = command.commands;
  const words = [
    ...children.map((child) => ({ name: child.name(), about: child.description() })),
    ...(path === "completion" ? SHELLS.map((name) => ({ name, about: `a script for ${name}` })) : []),
  ];
  // The default command is `serve`, so its options are allowed without a command too.
  const options = path === "" ? children.find((child) => child.name() === "serve")?.options : undefined;
  const flags = [...command.options, ...(options ?? [])].map((option) => flagOf(option, path));
  const help: Flag = { name: "--help", about: "show the help", value: "none" };
  const takesFile = command.registeredArguments.some((argument) => FILE_ARGUMENTS.includes(argument.name()));
  const own: Place = { path, words, flags: [...flags, help], takesFile };
  return [own, ...children.flatMap((child) => placesOf(child, `${path} ${child.name()}`.trim()))];
}

function flagOf({ long, description: about, required }: Option, path: string): Flag {
  const name = long ?? "";
  if (!required) return { name, about, value: "none" };
  return { name, about, value: VALUES[`${path} ${name}`] ?? (FILE_OPTIONS.includes(name) ? "file" : "free") };
}

function names(list: readonly { readonly name: string }[]): string {
  return list.map(({ name }) => name).join(" ");
}

/** The shell's cases of `place option`, which complete an option's value. */
function valueCases(places: readonly Place[], make: (flag: Flag) => string): string[] {
  return places.flatMap(({ path, flags }) =>
    flags.filter(({ value }) => value !== "none").map((flag) => `    "${path} ${flag.name}") ${make(flag)} ;;`),
  );
}

/** The shell's cases that step from a command to its subcommand. */
function stepCases(places: readonly Place[]): string[] {
  return places.filter(({ path }) => path !== "").map(({ path }) => `      "${path}") place="${path}" ;;`);
}

function bashScript(places: readonly Place[]): string {
  const values = valueCases(places, ({ value }) => {
    if (value === "file") return 'mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return';
    return value === "free" ? "return" : `words="${typeof value === "string" ? "" : value.join(" ")}"`;
  });
  const words = places.map(({ path, words: list, flags, takesFile }) => {
    const files = takesFile ? '; [[ $cur == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")' : "";
    return `    "${path}") words="${names(list)}"; [[ $cur != -* ]] || words="${names(flags)}"${files} ;;`;
  });
  return `# bash completion for fetchbox: source <(fetchbox completion bash)
_fetchbox() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" place="" words="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    local next="$place \${COMP_WORDS[i]}"
    case "\${next# }" in
${stepCases(places).join("\n")}
    esac
  done
  case "$place $prev" in
${values.join("\n")}
  esac
  [[ -n $words ]] || case "$place" in
${words.join("\n")}
  esac
  [[ -z $words ]] || mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o filenames -F _fetchbox fetchbox
`;
}

function zshScript(places: readonly Place[]): string {
  const described = (list: readonly { readonly name: string; readonly about: string }[]) =>
    list.map(({ name, about }) => quoted(`${name}:${about}`)).join(" ");
  const values = valueCases(places, ({ value }) => {
    if (value === "file") return "_files; return";
    return value === "free" ? "return" : `compadd -- ${typeof value === "string" ? "" : value.join(" ")}; return`;
  });
  const words = places.map(
    ({ path, words: list, flags, takesFile }) =>
      `    "${path}") commands=(${described(list)}); options=(${described(flags)}); files=${takesFile ? 1 : 0} ;;`,
  );
  return `#compdef fetchbox
# zsh completion for fetchbox: source <(fetchbox completion zsh), or a file _fetchbox in a folder of $fpath
_fetchbox() {
  local place="" next i files=0
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    next="$place \${words[i]}"
    case "\${next# }" in
${stepCases(places).join("\n")}
    esac
  done
  case "$place \${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  case "$place" in
${words.join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then
    _describe option options
  else
    (( \${#commands} )) && _describe command commands
    (( files )) && _files
  fi
}
if [[ $funcstack[1] == _fetchbox ]]; then _fetchbox "$@"; else compdef _fetchbox fetchbox; fi
`;
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words, flags, takesFile }) => {
    const at = `complete -c fetchbox -n "__fetchbox_at '${path}'"`;
    return [
      ...words.map(({ name, about }) => `${at} -a ${name} -d ${fishQuoted(about)}`),
      ...flags.map(({ name, about, value }) => `${at} -l ${name.slice(2)}${fishValue(value)} -d ${fishQuoted(about)}`),
      ...(takesFile ? [`${at} -F`] : []),
    ];
  });
  const paths = places.filter(({ path }) => path !== "").map(({ path }) => `'${path}'`);
  return `# fish completion for fetchbox: fetchbox completion fish | source
function __fetchbox_at
  set -l place ''
  for word in (commandline -opc)[2..]
    set -l next (string trim "$place $word")
    contains -- "$next" ${paths.join(" ")}; and set place "$next"
  end
  test "$place" = "$argv[1]"
end
complete -c fetchbox -f
${lines.join("\n")}
`;
}

function fishValue(value: Flag["value"]): string {
  if (value === "none") return "";
  if (value === "file") return " -r -F";
  return typeof value === "string" ? " -x" : ` -x -a ${fishQuoted(value.join(" "))}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
