import type { Manifest } from "../manifest/manifest-schema.ts";
import type { JobContext, JobReport } from "./handler.ts";

/** A request to a handler's thread. Each has one answer, and the next request follows that answer. */
export type Request =
  | { readonly kind: "load"; readonly file: string; readonly options: Readonly<Record<string, unknown>> }
  | { readonly kind: "expand"; readonly manifest: Manifest; readonly context: JobContext }
  /** Asks for the next tasks of the job that is being expanded. */
  | { readonly kind: "more" }
  /** Ends the expansion of the job before its last task. */
  | { readonly kind: "end" }
  | { readonly kind: "finalize"; readonly report: JobReport };

export type Reply =
  | { readonly kind: "loaded"; readonly finalizes: boolean }
  | { readonly kind: "tasks"; readonly tasks: readonly unknown[]; readonly isLast: boolean }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly thrown: Thrown }
  /** Text that the handler printed; not an answer to a request. */
  | Message;

export type MessageLevel = "debug" | "info" | "warn" | "error";

export interface Message {
  readonly kind: "message";
  readonly level: MessageLevel;
  readonly text: string;
}

/** An error in the form that passes between threads. */
export interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly details?: readonly unknown[];
}

/** The error that the thread threw; its name and details identify a ManifestError. */
export function rethrown({ name, message, stack, details }: Thrown): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return details === undefined ? error : Object.assign(error, { details });
}
