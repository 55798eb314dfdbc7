import { hrefOf } from "../../frame/location.ts";
import { countText } from "../../parts/format.ts";
import { Empty, Loaded } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Foreign, Time } from "../../parts/text.tsx";
import type { Analysis, JobSnapshot } from "../../service/answers.ts";
import type { Polled } from "../../service/poll.ts";

type Failure = JobSnapshot["errors"][number];
type Group = Analysis["groups"][number];

const FAILURES: readonly Column<Failure>[] = [
  { title: "Failed", cell: ({ timestamp }) => <Time at={timestamp} /> },
  { title: "Code", cell: ({ code }) => <code>{code}</code> },
  { title: "Resource", cell: ({ resource_id: id }) => <Foreign text={id} /> },
  { title: "Tries", isNumber: true, cell: ({ attempts }) => attempts },
  { title: "Message", cell: ({ message }) => <Foreign text={message} wide /> },
];

export const NO_LETTERS = "The job has no dead letter: each was replayed or discarded, or is past its retention.";

interface FailuresProps {
  readonly job: JobSnapshot;
  readonly poll: Polled<Analysis>;
}

export function JobFailures({ job, poll }: FailuresProps) {
  const { job_id: id, errors } = job;
  if (job.resource_failed === 0) return <Empty>No resource of this job has failed.</Empty>;
  return (
    <>
      <Loaded poll={poll}>
        {({ groups }) =>
          groups.length === 0 ? (
            <Empty>{NO_LETTERS}</Empty>
          ) : (
            <Table caption="Dead letters by code" columns={groupColumns(id)} rows={groups} keyOf={({ key }) => key} />
          )
        }
      </Loaded>
      <h2>First failures</h2>
      {job.errors_truncated && (
        <p class="faint">
          The list has the first {countText(errors.length)} of {countText(job.resource_failed)} failures.{" "}
          <a href={hrefOf(["dead-letters"], { job_id: id })}>The dead letters have all.</a>
        </p>
      )}
      <Table caption="Failures" columns={FAILURES} rows={errors} keyOf={({ resource_id: resource }) => resource} />
    </>
  );
}

function groupColumns(id: string): readonly Column<Group>[] {
  return [
    {
      title: "Dead letters by code",
      cell: ({ key }) => <a href={hrefOf(["dead-letters"], { job_id: id, code: key })}>{key}</a>,
    },
    { title: "Count", isNumber: true, cell: ({ count }) => countText(count) },
    { title: "First", cell: ({ first_seen: at }) => <Time at={at} /> },
    { title: "Last", cell: ({ last_seen: at }) => <Time at={at} /> },
    {
      title: "Sample",
      cell: ({ sample_task_id: task }) => <a href={hrefOf(["dead-letters", String(task)])}>task {task}</a>,
    },
  ];
}
