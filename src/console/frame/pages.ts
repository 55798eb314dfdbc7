import type { Role } from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";

interface PageLink {
  readonly title: string;
  /** First part of the path below `/console`. */
  readonly name: string;
  /** `undefined`: every role sees it. */
  readonly needs?: Role;
}

/** The pages of the console, in the order of the header. */
export const PAGES: readonly PageLink[] = [
  { title: "Overview", name: "", needs: "read" },
  { title: "Jobs", name: "jobs" },
  { title: "Downloads", name: "downloads", needs: "read" },
  { title: "Hosts", name: "hosts", needs: "read" },
  { title: "Dead letters", name: "dead-letters", needs: "read" },
  { title: "Operations", name: "operations", needs: "read" },
  { title: "System", name: "system", needs: "read" },
  { title: "Submit", name: "submit", needs: "submit" },
];

/** The reason why this session may not see a page; `undefined`: it may. */
export function pageRefusal(name: string): string | undefined {
  const needs = PAGES.find((page) => page.name === name)?.needs;
  return needs === undefined ? undefined : refusal(needs);
}
