import { effect, signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];

/** True: times are shown in UTC, else in the browser's zone. */
export const isUtc = signal(localStorage.getItem("fetchbox.utc") === "true");
export const theme = signal<Theme>(THEMES.find((name) => name === localStorage.getItem("fetchbox.theme")) ?? "system");

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
/** True: the system asks for dark colours. */
export const isSystemDark = signal(darkSystem.matches);

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}

/** Applies the preferences, and remembers them in this browser. */
export function keepPreferences(): void {
  darkSystem.addEventListener("change", ({ matches }) => (isSystemDark.value = matches));
  effect(() => localStorage.setItem("fetchbox.utc", String(isUtc.value)));
  effect(() => {
    localStorage.setItem("fetchbox.theme", theme.value);
    document.documentElement.dataset["theme"] = theme.value;
  });
}
