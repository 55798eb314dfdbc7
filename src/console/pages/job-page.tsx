import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Letters } from "../dialogs/letters.ts";
import { ReplayDialog } from "../dialogs/replay-dialog.tsx";
import { announce } from "../frame/announcement.tsx";
import { hrefOf, place } from "../frame/location.ts";
import { Action, Confirm, Dialog } from "../parts/dialog.tsx";
import { Fact, Facts } from "../parts/facts.tsx";
import { bytesText, countedText, countText, title } from "../parts/format.ts";
import { Progress } from "../parts/progress.tsx";
import { Loaded } from "../parts/states.tsx";
import { Copy, Foreign, Status, Time } from "../parts/text.tsx";
import type { Analysis, JobSnapshot } from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";
import { curlOf } from "../service/curl-command.ts";
import { instanceName } from "../service/instance.ts";
import { change, type Polled, usePoll } from "../service/poll.ts";
import { pathWith } from "../service/service-request.ts";
import { pinned } from "../service/service-time.ts";
import { uncounted } from "./dead-letters-page.tsx";
import { JobFailures, NO_LETTERS } from "./job-tabs/job-failures.tsx";
import { JobLog } from "./job-tabs/job-log.tsx";
import { JobManifest } from "./job-tabs/job-manifest.tsx";
import { JobResources } from "./job-tabs/job-resources.tsx";

const TABS = ["resources", "failures", "log", "manifest"];
const ENDED = ["completed", "partial", "failed", "cancelled"];

export function JobPage({ id }: { readonly id: string }) {
  const poll = usePoll<JobSnapshot>(`operators/jobs/${encodeURIComponent(id)}`);
  const hasFailed = (poll.data?.resource_failed ?? 0) > 0 && refusal("read") === undefined;
  const groups = pathWith("operators/dlq/analysis", { by: "code", job_id: id });
  const analysis = usePoll<Analysis>(hasFailed ? groups : undefined);
  const tab = place.value.query["tab"] ?? "resources";
  return (
    <Loaded poll={poll}>
      {(job) => (
        <>
          <div class="bar">
            <h1>
              Job <code>{job.job_id}</code>
            </h1>
            <Status name={job.status} />
            <span class="spacer" />
            <Actions job={job} letters={analysis} />
          </div>
          <JobFacts job={job} />
          <nav class="tabs" aria-label="Parts of the job">
            {TABS.map((name) => (
              <a
                key={name}
                href={hrefOf(["jobs", id], { tab: name === "resources" ? undefined : name })}
                aria-current={name === tab ? "page" : undefined}
              >
                {title(name)}
                {name === "failures" && job.resource_failed > 0 && (
                  <span class="badge">{countText(job.resource_failed)}</span>
                )}
              </a>
            ))}
          </nav>
          <Tab tab={tab} job={job} analysis={analysis} />
        </>
      )}
    </Loaded>
  );
}

interface TabProps {
  readonly tab: string;
  readonly job: JobSnapshot;
  readonly analysis: Polled<Analysis>;
}

function Tab({ tab, job, analysis }: TabProps): ComponentChildren {
  if (tab === "failures") return <JobFailures job={job} poll={analysis} />;
  if (tab === "log") return <JobLog key={job.job_id} id={job.job_id} count={job.log_count} />;
  if (tab === "manifest") return <JobManifest id={job.job_id} />;
  return <JobResources id={job.job_id} isEnded={ENDED.includes(job.status)} />;
}

function JobFacts({ job }: { readonly job: JobSnapshot }) {
  return (
    <Facts>
      <Fact title="Progress">
        <Progress {...job} />
      </Fact>
      <Fact title="Type">
        <Foreign text={job.job_type} />
      </Fact>
      <Fact title="Tenant">
        <Foreign text={job.tenant} />
      </Fact>
      <Fact title="Priority">{job.priority}</Fact>
      <Fact title="Stored">{bytesText(job.bytes_stored)}</Fact>
      <Fact title="Created">
        <Time at={job.created_at} />
      </Fact>
      <Fact title="Ended">
        <Time at={job.completed_at} />
      </Fact>
      <Fact title="Manifest">
        <Foreign text={job.manifest_key} wide />
      </Fact>
    </Facts>
  );
}

interface JobActionsProps {
  readonly job: JobSnapshot;
  /** The dead letters of the job. */
  readonly letters: Polled<Analysis>;
}

function Actions({ job, letters }: JobActionsProps) {
  const [isCancelling, setCancelling] = useState(false);
  const [replaying, setReplaying] = useState<Letters>();
  const { job_id: id } = job;
  return (
    <div class="actions">
      <Copy text={curlOf(`operators/jobs/${id}`)} label="curl" />
      <Copy text={`fetchbox status ${id}`} label="command" />
      <Action
        needs="operator"
        unless={ENDED.includes(job.status) ? "The job has ended." : undefined}
        onClick={() => setCancelling(true)}
      >
        Cancel…
      </Action>
      <Action
        needs="operator"
        unless={noReplay(job, letters)}
        onClick={() => setReplaying({ filter: pinned({ job_id: id }) })}
      >
        Replay failures…
      </Action>
      {isCancelling && <CancelJob job={job} onClose={() => setCancelling(false)} />}
      {replaying && <ReplayDialog letters={replaying} onClose={() => setReplaying(undefined)} />}
    </div>
  );
}

/** The reason why there is nothing to replay. */
function noReplay({ resource_failed: failed }: JobSnapshot, letters: Polled<Analysis>): string | undefined {
  if (failed === 0) return "The job has no failed resource.";
  if (letters.data === undefined) return uncounted(letters) ?? "FetchBox counts the dead letters.";
  return letters.data.total === 0 ? NO_LETTERS : undefined;
}

function CancelJob({ job, onClose }: { readonly job: JobSnapshot; readonly onClose: () => void }) {
  const open = job.resource_total - job.resource_completed - job.resource_failed - job.resource_cancelled;
  const cancel = async () => {
    await change(`operators/jobs/${job.job_id}/cancel`);
    announce("The job is being cancelled.");
  };
  return (
    <Dialog title={`Cancel the job on ${instanceName.value}`} onClose={onClose}>
      <p>Not ended yet: {countedText(open, "resource")}. Stored objects stay. Running downloads are aborted.</p>
      <Confirm label="Cancel the job" count={open} act={cancel} onClose={onClose} />
    </Dialog>
  );
}
