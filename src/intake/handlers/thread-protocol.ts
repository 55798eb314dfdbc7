import type { Manifest } from "../manifest/manifest-schema.ts";
import type { JobContext, JobReport } from "./handler.ts";

/** What a handler's thread is asked; each has one answer, and the next is asked after it. */
export type Request =
  | { readonly asks: "load"; readonly file: string; readonly options: Readonly<Record<string, unknown>> }
  | { readonly asks: "expand"; readonly manifest: Manifest; readonly context: JobContext }
  /** The next tasks of the job that is being expanded. */
  | { readonly asks: "more" }
  /** Nothing more of that job is wanted. */
  | { readonly asks: "end" }
  | { readonly asks: "finalize"; readonly report: JobReport };

export type Reply =
  | { readonly is: "loaded"; readonly finalizes: boolean }
  | { readonly is: "tasks"; readonly tasks: readonly unknown[]; readonly isLast: boolean }
  | { readonly is: "done" }
  | { readonly is: "failed"; readonly thrown: Thrown }
  /** Printed by the handler; answers nothing. */
  | Message;

export type MessageLevel = "debug" | "info" | "warn" | "error";

export interface Message {
  readonly is: "said";
  readonly level: MessageLevel;
  readonly text: string;
}

/** An error on its way between threads. */
export interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly details?: readonly unknown[];
}

/** The error that was thrown there; its name and details tell a ManifestError. */
export function rethrown({ name, message, stack, details }: Thrown): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return details === undefined ? error : Object.assign(error, { details });
}
