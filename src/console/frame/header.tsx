import type { ComponentChildren } from "preact";
import { Action } from "../parts/dialog.tsx";
import { countedText, countText } from "../parts/format.ts";
import { Foreign, Time } from "../parts/text.tsx";
import type { Overview } from "../service/answers.ts";
import { session, signOut } from "../service/browser-session.ts";
import { instanceColor, instanceName } from "../service/instance.ts";
import { change, type Polled } from "../service/poll.ts";
import { announce, announceFailure } from "./announcement.tsx";
import { isHelpOpen } from "./keyboard.ts";
import { Live } from "./live.tsx";
import { hrefOf, place } from "./location.ts";
import { PAGES, pageRefusal } from "./pages.ts";
import { isUtc, nextTheme, theme } from "./preferences.ts";

interface OverviewProps {
  readonly poll: Polled<Overview>;
}

export function Header({ poll }: OverviewProps) {
  const name = instanceName.value;
  const [current = ""] = place.value.path;
  return (
    <header>
      <a class="brand" href={hrefOf([])}>
        FetchBox
      </a>
      {name !== "" && (
        <span class="instance" style={{ background: instanceColor(name) }}>
          <Foreign text={name} />
        </span>
      )}
      <nav aria-label="Pages of the console">
        {PAGES.map(({ title, name: page }) => (
          <PageLink key={title} page={page} isCurrent={page === current}>
            {title}
            {page === "dead-letters" && poll.data !== undefined && poll.data.dead_letters.total > 0 && (
              <span class="badge">{countText(poll.data.dead_letters.total)}</span>
            )}
          </PageLink>
        ))}
      </nav>
      <Tools />
    </header>
  );
}

interface PageLinkProps {
  readonly page: string;
  readonly isCurrent: boolean;
  readonly children: ComponentChildren;
}

/** A link to a page; without an address, and with the reason, if the role does not allow the page. */
function PageLink({ page, isCurrent, children }: PageLinkProps) {
  const reason = pageRefusal(page);
  if (reason === undefined) {
    return (
      <a href={hrefOf(page === "" ? [] : [page])} aria-current={isCurrent ? "page" : undefined}>
        {children}
      </a>
    );
  }
  return (
    <a role="link" aria-disabled="true" title={reason}>
      {children}
      <span class="hidden"> (disabled: {reason})</span>
    </a>
  );
}

function Tools() {
  const { needed, role } = session.value ?? { needed: false, role: null };
  return (
    <div class="tools">
      <Live />
      <button type="button" class="plain" aria-pressed={isUtc.value} onClick={() => (isUtc.value = !isUtc.value)}>
        UTC
      </button>
      <button type="button" class="plain" title="Colours" onClick={nextTheme}>
        ◐ {theme.value}
      </button>
      <button type="button" class="plain" aria-label="Keys" onClick={() => (isHelpOpen.value = true)}>
        ?
      </button>
      <span class="role">{needed ? (role ?? "signed out") : "open to all"}</span>
      {needed && (
        <button type="button" class="plain" onClick={() => void announceFailure(signOut)}>
          Sign out
        </button>
      )}
    </div>
  );
}

/** What every page shows: a pause, and buckets that refuse writes. */
export function Banner({ poll: { data } }: OverviewProps) {
  if (data === undefined) return null;
  const { queue, buckets } = data;
  const resume = () =>
    announceFailure(async () => {
      await change("operators/queue/resume");
      announce("The queue is running again.");
    });
  if (!queue.paused && buckets.length === 0) return null;
  return (
    <div class="banner">
      {queue.paused && (
        <p>
          ⚠ <strong>Paused</strong>
          {queue.paused_at !== null && (
            <>
              {" since "}
              <Time at={queue.paused_at} />
            </>
          )}
          {queue.paused_by !== null && (
            <>
              {" by "}
              <Foreign text={queue.paused_by} />
            </>
          )}
          : no download starts.{" "}
          <Action needs="operator" onClick={() => void resume()}>
            Resume
          </Action>
        </p>
      )}
      {buckets.map(({ bucket, state, reason, since, waiting }) => (
        <p key={bucket}>
          ⚠ Storage <Foreign text={bucket} />: <Foreign text={reason ?? state} /> since <Time at={since} />
          {waiting !== null && `; waiting: ${countedText(waiting, "task")}`}. The page{" "}
          <code>docs/operate/runbook.md</code> has the steps.
        </p>
      ))}
    </div>
  );
}
