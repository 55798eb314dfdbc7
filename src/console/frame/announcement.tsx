import { signal } from "@preact/signals";

const text = signal("");

/** Shows a sentence in the status line, which screen readers read aloud. */
export function announce(sentence: string): void {
  text.value = sentence;
}

export function StatusLine() {
  return (
    <p class="status-line" role="status" aria-live="polite">
      {text.value}
      {text.value !== "" && (
        <button type="button" class="plain" aria-label="Dismiss" onClick={() => announce("")}>
          ×
        </button>
      )}
    </p>
  );
}
