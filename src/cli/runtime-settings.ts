type Environment = Readonly<Record<string, string | undefined>>;

const FTL_CORES_MIN = 4;

/** What Bun reads from the environment as it starts, and what we want there. What is set already stays. */
const SETTINGS: Environment = {
  // The optimizer for hot functions. Once it is through it saves an eighth of the main thread's CPU. Before, for some
  // 20,000 items, its compiling takes 2 s of CPU on another thread, which on two cores are missed there.
  BUN_JSC_useFTLJIT: navigator.hardwareConcurrency >= FTL_CORES_MIN ? "1" : "0",
  // The allocator (mimalloc) gives memory back to the system 10 ms after it was freed, and holes in its pages as well;
  // the next bodies, at once, take it anew, page fault by page fault: a fifth of the rate at 10 KiB. After a second is
  // soon enough.
  MIMALLOC_PURGE_DELAY: "1000",
  MIMALLOC_PURGE_HOLES: "0",
};
/**
 * By these Bun runs other code than the program's, or opens a debugger to everyone who can connect. The process that
 * works has none of them; what they did before it began, only the unit that starts it can prevent
 * (docs/operate/security.md).
 */
const FOREIGN_CODE = [
  "BUN_BE_BUN",
  "BUN_OPTIONS",
  "BUN_INSPECT",
  "BUN_INSPECT_CONNECT_TO",
  "BUN_INSPECT_NOTIFY",
  "BUN_INSPECT_PRELOAD",
];
/** Flags that stand for a command of their own; before any other `serve` is left out. */
const ANSWERS: ReadonlySet<string> = new Set(["-h", "--help", "-V", "--version"]);

/** Whether a command line runs the service. */
export function isService([command = "serve"]: readonly string[]): boolean {
  return command === "serve" || (command.startsWith("-") && !ANSWERS.has(command));
}

/**
 * Starts the program anew, under the same process id, with the settings that can only be made before; then this does
 * not return. For the commands that move bytes; the others go on as they are.
 */
export function applyRuntimeSettings(args: readonly string[], env: Environment): void {
  const isAtWork = isService(args) || args[0] === "run";
  const isSet = Object.keys(SETTINGS).every((name) => env[name] !== undefined);
  const isOurs = FOREIGN_CODE.every((name) => env[name] === undefined);
  if (!isAtWork || (isSet && isOurs)) return;
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN_CODE.includes(name)));
  const own = Bun.main.startsWith("/$bunfs/") ? args : [...process.execArgv, Bun.main, ...args];
  try {
    process.execve?.(process.execPath, [process.execPath, ...own], { ...SETTINGS, ...kept } as NodeJS.ProcessEnv);
  } catch {
    // A system that cannot do that (Windows): the program goes on as it is, only slower.
  }
}
