import { countedText, countText } from "../parts/format.ts";

interface Outcome {
  readonly verb: string;
  readonly noun: string;
  /** Number of things that changed. */
  readonly done: number;
  /** Number of things that the operator chose, or that the dry run found. */
  readonly asked: number;
}

/** The result of a change. Rows that vanished meanwhile are skipped, and the sentence has their number. */
export function outcomeText({ verb, noun, done, asked }: Outcome): string {
  return done >= asked
    ? `${verb}: ${countedText(done, noun)}.`
    : `${verb}: ${countText(done)} of ${countedText(asked, noun)}; ${goneText(asked - done)}.`;
}

/** `1 was gone`, `2 were gone`. */
export function goneText(count: number): string {
  return `${countText(count)} ${count === 1 ? "was" : "were"} gone`;
}
