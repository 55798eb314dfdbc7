import type { ComponentChildren } from "preact";
import { go, hrefOf } from "../frame/location.ts";
import { Attempts } from "../parts/attempts.tsx";
import { Loaded } from "../parts/states.tsx";
import { Copy, Foreign, Time, Url } from "../parts/text.tsx";
import type { DeadLetterDetail } from "../service/answers.ts";
import { usePoll } from "../service/poll.ts";
import { SERVICE_PATH } from "../service/service-request.ts";
import { LetterActions } from "./dead-letters-page.tsx";

export function LetterPage({ id }: { readonly id: string }) {
  const path = `operators/dlq/${encodeURIComponent(id)}`;
  const poll = usePoll<DeadLetterDetail>(path);
  return (
    <Loaded poll={poll}>
      {(letter) => (
        <>
          <div class="bar">
            <h1>Dead letter {letter.task_id}</h1>
            <code class="bad">{letter.failure_code}</code>
            <span class="spacer" />
            <LetterActions
              letters={{ task_ids: [letter.task_id] }}
              count={undefined}
              onDone={() => go(hrefOf(["dead-letters"]))}
            />
            <Copy text={`curl ${location.origin}${SERVICE_PATH}${path}`} label="curl" />
            <Copy text={`fetchbox dlq show ${letter.task_id}`} label="command" />
          </div>
          <p class="cause">
            <Foreign text={letter.failure_message} wide />
          </p>
          <Facts letter={letter} />
          <h2>Attempts, newest first</h2>
          <Attempts history={letter.history} />
        </>
      )}
    </Loaded>
  );
}

function Facts({ letter }: { readonly letter: DeadLetterDetail }) {
  const facts: readonly (readonly [string, ComponentChildren])[] = [
    ["Resource", <Foreign key="resource" text={letter.resource_id} wide />],
    ["URL", <Url key="url" url={letter.url} />],
    [
      "Job",
      <a key="job" href={hrefOf(["jobs", letter.job_id])}>
        {letter.job_id}
      </a>,
    ],
    ["Type", <Foreign key="type" text={letter.job_type} />],
    ["Tenant", <Foreign key="tenant" text={letter.tenant} />],
    ["Tries", letter.attempts],
    ["Failed", <Time key="failed" at={letter.failed_at} />],
  ];
  return (
    <dl class="facts">
      {facts.map(([title, value]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
