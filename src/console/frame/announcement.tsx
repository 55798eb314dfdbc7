import { signal } from "@preact/signals";

const text = signal("");

/** Shows a sentence in the status line, which screen readers read aloud. */
export function announce(sentence: string): void {
  text.value = sentence;
}

/** Runs an action that has no dialog to show its error: the status line shows it. */
export async function announceFailure(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    announce((error as Error).message);
  }
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
