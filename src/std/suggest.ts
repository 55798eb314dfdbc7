import { distance } from "fastest-levenshtein";

const DISTANCE_MAX = 3;

/** The candidate that a mistyped word most likely means, or undefined. */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  const limit = Math.min(DISTANCE_MAX, Math.floor(word.length / 2));
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    // The distance is never less; a word of a million characters would take long to compare.
    if (Math.abs(candidate.length - word.length) > limit) continue;
    const found = distance(word.toLowerCase(), candidate.toLowerCase());
    if (found <= limit && found < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { candidate, distance: found };
  }
  return best?.candidate;
}
