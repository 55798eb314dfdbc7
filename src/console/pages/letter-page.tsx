import { go, hrefOf } from "../frame/location.ts";
import { Attempts } from "../parts/attempts.tsx";
import { Fact, Facts } from "../parts/facts.tsx";
import { Loaded } from "../parts/states.tsx";
import { Copy, Foreign, Time, Url } from "../parts/text.tsx";
import type { DeadLetterDetail } from "../service/answers.ts";
import { curlOf } from "../service/curl-command.ts";
import { usePoll } from "../service/poll.ts";
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
            <Copy text={curlOf(path)} label="curl" />
            <Copy text={`fetchbox dlq show ${letter.task_id}`} label="command" />
          </div>
          <p class="cause">
            <Foreign text={letter.failure_message} wide />
          </p>
          <LetterFacts letter={letter} />
          <h2>Attempts, newest first</h2>
          <Attempts history={letter.history} />
        </>
      )}
    </Loaded>
  );
}

function LetterFacts({ letter }: { readonly letter: DeadLetterDetail }) {
  return (
    <Facts>
      <Fact title="Resource">
        <Foreign text={letter.resource_id} wide />
      </Fact>
      <Fact title="URL">
        <Url url={letter.url} />
      </Fact>
      <Fact title="Job">
        <a href={hrefOf(["jobs", letter.job_id])}>{letter.job_id}</a>
      </Fact>
      <Fact title="Type">
        <Foreign text={letter.job_type} />
      </Fact>
      <Fact title="Tenant">
        <Foreign text={letter.tenant} />
      </Fact>
      <Fact title="Tries">{letter.attempts}</Fact>
      <Fact title="Failed">
        <Time at={letter.failed_at} />
      </Fact>
    </Facts>
  );
}
