import { useEffect, useState } from "preact/hooks";
import { durationText } from "../parts/format.ts";
import { after } from "../service/browser-time.ts";
import { isPolling } from "../service/poll.ts";
import { isAnswering } from "../service/service-request.ts";
import { answerAgeMs } from "../service/service-time.ts";

const TICK_MS = 1000;

/** Shows whether the service answers, and the age of the data; empty on a page that repeats no request. */
export function Live() {
  const [tick, setTick] = useState(0);
  useEffect(() => after(TICK_MS, () => setTick(tick + 1)), [tick]);
  if (!isPolling.value) return null;
  const age = answerAgeMs();
  // Whole seconds, because parts of one would flicker.
  const seconds = age === undefined ? undefined : Math.floor(age / 1000);
  return (
    <span class={isAnswering.value ? "live" : "live off"} title="Time since the last answer of the service">
      {isAnswering.value ? "● live" : "○ no answer"}
      {seconds !== undefined && ` ${seconds === 0 ? "0 s" : durationText(seconds * 1000)}`}
    </span>
  );
}
