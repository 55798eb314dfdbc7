import { countedText } from "../parts/format.ts";
import { goneText, type Noun } from "./outcome-text.ts";

interface DryRunProps {
  readonly noun: Noun;
  /** `undefined` while the dry run goes on. */
  readonly matched: number | undefined;
  /** Number of selected rows; `undefined` for a filter. */
  readonly selected: number | undefined;
}

/** The number of things that a change would meet. */
export function DryRunText({ noun, matched, selected }: DryRunProps) {
  if (matched === undefined) return <>FetchBox counts the {noun}s…</>;
  const gone = selected === undefined ? 0 : selected - matched;
  return (
    <>
      The dry run found {countedText(matched, noun)}
      {gone > 0 && `; ${goneText(gone, noun)}`}.
    </>
  );
}
