import { signal } from "@preact/signals";
import { SERVICE_PATH } from "../service/service-request.ts";

const ROOT = `${SERVICE_PATH}console`;

interface Place {
  /** Parts of the path below `/console`, decoded. */
  readonly path: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

/** The place that the address shows. */
export const place = signal<Place>(read());

function read(): Place {
  const path = location.pathname.slice(ROOT.length).split("/").filter(Boolean).map(decoded);
  return { path, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a page. Empty values of the query are left out. */
export function hrefOf(path: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => (value ? [[name, value]] : []));
  const search = pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
  return `${[ROOT, ...path.map(encodeURIComponent)].join("/")}${search}`;
}

export function go(href: string): void {
  history.pushState(null, "", href);
  place.value = read();
  scrollTo(0, 0);
}

/** Goes to another place, which takes the place of this one in the history. */
export function redirect(href: string): void {
  history.replaceState(null, "", href);
  place.value = read();
}

/** Changes parts of the query, and shows the list from its start unless `cursor` is among them. */
export function setQuery(changes: Readonly<Record<string, string | undefined>>): void {
  const { path, query } = place.value;
  go(hrefOf(path, { ...query, cursor: undefined, ...changes }));
}

/** Turns clicks on links to the console into changes of the place. */
export function followLinks(): void {
  addEventListener("popstate", () => (place.value = read()));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (link === null || link.target !== "" || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || !`${link.pathname}/`.startsWith(`${ROOT}/`)) return;
    event.preventDefault();
    go(link.href);
  });
}
