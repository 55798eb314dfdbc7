import { signal } from "@preact/signals";
import { isDialogOpen } from "../parts/dialog.tsx";
import { refreshAll } from "../service/poll.ts";
import { announce } from "./announcement.tsx";
import { go, hrefOf } from "./location.ts";

export const isHelpOpen = signal(false);

const PAGES: Readonly<Record<string, readonly string[]>> = {
  o: [],
  j: ["jobs"],
  d: ["dead-letters"],
  h: ["hosts"],
  l: ["downloads"],
};

export const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Go to the first text field of the page"],
  ["g o", "Overview"],
  ["g j", "Jobs"],
  ["g d", "Dead letters"],
  ["g h", "Hosts"],
  ["g l", "Downloads"],
  ["j, k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["r", "Refresh"],
  ["?", "Show these keys"],
];

/** Listens to the keys. They do nothing while the focus is in a field or a dialog is open. */
export function listenToKeys(): void {
  let isAfterG = false;
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || isInField(event.target) || isDialogOpen.value) return;
    const { key } = event;
    const page = isAfterG ? PAGES[key] : undefined;
    isAfterG = key === "g";
    const action = page === undefined ? ACTIONS[key] : () => go(hrefOf(page));
    if (action === undefined) return;
    // Enter on a link or a button has its own meaning.
    if (key === "Enter" && !(event.target instanceof HTMLTableRowElement)) return;
    event.preventDefault();
    action();
  });
}

const ACTIONS: Readonly<Record<string, () => void>> = {
  "/": () => (firstIn("main input:not([type=checkbox])") ?? firstIn("main select"))?.focus(),
  j: () => moveBy(1),
  k: () => moveBy(-1),
  Enter: () => {
    const href = focusedRow()?.dataset["href"];
    if (href !== undefined) go(href);
  },
  x: () => focusedRow()?.querySelector<HTMLInputElement>("input[type=checkbox]")?.click(),
  r: () => {
    refreshAll();
    announce("Refreshed.");
  },
  "?": () => (isHelpOpen.value = true),
};

function firstIn(selector: string): HTMLElement | null {
  return document.querySelector<HTMLElement>(selector);
}

function isInField(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select") !== null;
}

function rows(): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>("main [data-row]")];
}

function focusedRow(): HTMLElement | undefined {
  return document.activeElement?.closest<HTMLElement>("[data-row]") ?? undefined;
}

function moveBy(step: number): void {
  const all = rows();
  const focused = focusedRow();
  const at = focused === undefined ? -1 : all.indexOf(focused);
  const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next]?.focus();
}
