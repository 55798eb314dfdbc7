import { errorText } from "../std/error-text.ts";

/**
 * A check in steps, as `fetchbox storage check` shows it: each backend has its own steps, and all run and read alike.
 */
export interface CheckStep {
  readonly name: string;
  /** `note`: a feature is not supported or cannot be seen, and FetchBox does not depend on it. */
  readonly result: "ok" | "failed" | "note" | "skipped";
  readonly detail: string;
}

/** The finding of a step, or a note. */
export type StepFinding = string | { readonly note: string };

export interface Step {
  readonly name: string;
  /** Names of earlier steps that this one builds on. */
  readonly needs?: readonly string[];
  /** Throws where the step fails; the message is shown. */
  readonly run: () => Promise<StepFinding>;
}

/** A step failed; the message has the reason and the remedy. */
export class StepFailure extends Error {
  override readonly name = "StepFailure";
  /** No later step makes sense. */
  readonly isFinal: boolean;

  constructor(message: string, options: { readonly isFinal?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.isFinal = options.isFinal ?? false;
  }
}

/** Runs steps in order. A step whose ground has failed is skipped, as are all steps after the signal. */
export async function* runSteps(steps: readonly Step[], signal: AbortSignal): AsyncGenerator<CheckStep> {
  const failed = new Set<string>();
  let end: string | undefined;
  for (const step of steps) {
    const { name, needs = [] } = step;
    const missing = end ?? needs.find((need) => failed.has(need));
    if (signal.aborted || missing !== undefined) {
      failed.add(name);
      yield { name, result: "skipped", detail: signal.aborted ? "interrupted" : `needs ${missing}` };
      continue;
    }
    const done = await perform(step, signal);
    if (done.result === "failed") failed.add(name);
    if (done.isFinal) end = name;
    yield { name, result: done.result, detail: done.detail };
  }
}

async function perform({ run }: Step, signal: AbortSignal) {
  try {
    const found = await run();
    if (typeof found === "string") return { result: "ok", detail: found, isFinal: false } as const;
    return { result: "note", detail: found.note, isFinal: false } as const;
  } catch (error) {
    const detail = signal.aborted ? "interrupted" : errorText(error);
    return { result: "failed", detail, isFinal: error instanceof StepFailure && error.isFinal } as const;
  }
}
