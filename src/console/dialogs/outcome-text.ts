import { countedText, countText } from "../parts/format.ts";

interface Outcome {
  readonly verb: string;
  readonly noun: Noun;
  /** Number of things that changed. */
  readonly done: number;
  /** Number of things that the operator chose, or that the dry run found. */
  readonly asked: number;
}

export type Noun = "dead letter" | "job" | "unfinished job";

/** The result of a change. The service skips rows that vanished meanwhile, and the sentence has their number. */
export function outcomeText({ verb, noun, done, asked }: Outcome): string {
  return done >= asked
    ? `${verb}: ${countedText(done, noun)}.`
    : `${verb}: ${countText(done)} of ${countedText(asked, noun)}; ${goneText(asked - done, noun)}.`;
}

/** `1 was gone`; of jobs `1 had ended or was being cancelled`. */
export function goneText(count: number, noun: Noun): string {
  const were = count === 1 ? "was" : "were";
  return noun === "dead letter"
    ? `${countText(count)} ${were} gone`
    : `${countText(count)} had ended or ${were} being cancelled`;
}
