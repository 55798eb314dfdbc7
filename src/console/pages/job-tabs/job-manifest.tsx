import { Empty, Loaded } from "../../parts/states.tsx";
import { Copy, visible } from "../../parts/text.tsx";
import { refusal } from "../../service/browser-session.ts";
import { usePoll } from "../../service/poll.ts";

/** A manifest does not change. */
const MANIFEST_MS = 600_000;
const SHOWN_MAX = 100_000;

/** The manifest as it is stored, with its secrets masked. */
export function JobManifest({ id }: { readonly id: string }) {
  const reason = refusal("read");
  const poll = usePoll<unknown>(reason === undefined ? `operators/jobs/${id}/manifest` : undefined, MANIFEST_MS);
  if (reason !== undefined) return <Empty>{reason}</Empty>;
  return (
    <Loaded poll={poll}>
      {(manifest) => {
        const text = JSON.stringify(manifest, null, 2);
        return (
          <>
            <div class="filters">
              <Copy text={text} label="manifest" />
              {text.length > SHOWN_MAX && <span class="faint">The page shows the first {SHOWN_MAX} characters.</span>}
            </div>
            <pre class="manifest">{visibleParts(text.slice(0, SHOWN_MAX))}</pre>
          </>
        );
      }}
    </Loaded>
  );
}

function visibleParts(text: string): string {
  return text.split("\n").map(visible).join("\n");
}
