import { computed, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Role } from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";
import type { RequestError } from "../service/service-request.ts";
import { countText } from "./format.ts";
import { ErrorText } from "./states.tsx";

/** More changes than this need the number typed. */
const TYPED_ABOVE = 1000;

const openDialogs = signal(0);
export const isDialogOpen = computed(() => openDialogs.value > 0);

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
    openDialogs.value += 1;
    return () => void (openDialogs.value -= 1);
  }, []);
  return (
    <dialog ref={element} aria-label={title} onClose={onClose}>
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  readonly label: string;
  /** Number of things that change. */
  readonly count: number;
  /** Carries the change out; the dialog closes afterwards. */
  readonly act: () => Promise<void>;
  readonly onClose: () => void;
  readonly isReady?: boolean;
}

/** The buttons of a dialog that changes something. A large change needs its number typed. */
export function Confirm({ label, count, act, onClose, isReady = true }: ConfirmProps) {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<RequestError>();
  const [isBusy, setBusy] = useState(false);
  const isConfirmed = count <= TYPED_ABOVE || typed.replaceAll(/[\s,.]/g, "") === String(count);
  const run = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await act();
      onClose();
    } catch (failure) {
      setError(failure as RequestError);
    }
    setBusy(false);
  };
  return (
    <>
      {count > TYPED_ABOVE && (
        <label>
          Type {countText(count)} to confirm
          <input inputMode="numeric" value={typed} onInput={({ currentTarget }) => setTyped(currentTarget.value)} />
        </label>
      )}
      {error !== undefined && <ErrorText error={error} />}
      <div class="actions">
        <button type="button" onClick={onClose}>
          Keep as it is
        </button>
        <button type="button" class="danger" disabled={!isReady || !isConfirmed || isBusy} onClick={() => void run()}>
          {label}
        </button>
      </div>
    </>
  );
}

interface ActionProps {
  readonly needs: Role;
  readonly onClick: () => void;
  readonly children: ComponentChildren;
  /** A reason why the action is not possible now. */
  readonly unless?: string | undefined;
}

/** A button that is disabled, with the reason, if the role or the state does not allow the action. */
export function Action({ needs, onClick, children, unless }: ActionProps) {
  const reason = refusal(needs) ?? unless;
  return (
    <button type="button" disabled={reason !== undefined} title={reason} onClick={onClick}>
      {children}
      {reason !== undefined && <span class="hidden"> (disabled: {reason})</span>}
    </button>
  );
}
