import { useState } from "preact/hooks";
import { ErrorText } from "../parts/states.tsx";
import { signIn } from "../service/browser-session.ts";
import { isSignedOut, type RequestError } from "../service/service-request.ts";

export function SignIn() {
  const [token, setToken] = useState("");
  const [error, setError] = useState<RequestError>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await signIn(token.trim());
    } catch (failure) {
      setError(failure as RequestError);
    }
    setBusy(false);
  };
  return (
    <main class="sign-in">
      <h1>FetchBox</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label>
          Token
          <input
            type="password"
            autocomplete="current-password"
            required
            value={token}
            onInput={({ currentTarget }) => setToken(currentTarget.value)}
          />
        </label>
        <p class="faint">
          Use a token of <code>server.auth.tokens</code>. This browser keeps only a session cookie.
        </p>
        {isSignedOut.value && error === undefined && (
          <p role="alert">
            The session has ended: its time is over, or its token was changed or removed. Sign in again.
          </p>
        )}
        {error !== undefined && <ErrorText error={error} />}
        <button type="submit" class="primary" disabled={isBusy || token.trim() === ""}>
          Sign in
        </button>
      </form>
    </main>
  );
}
