import { Dialog } from "../parts/dialog.tsx";
import { isHelpOpen, KEYS } from "./keyboard.ts";

export function KeyHelp() {
  const close = () => (isHelpOpen.value = false);
  if (!isHelpOpen.value) return null;
  return (
    <Dialog title="Keys" onClose={close}>
      <dl class="keys">
        {KEYS.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <div class="actions">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
