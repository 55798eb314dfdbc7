import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { hrefOf } from "../frame/location.ts";
import { Action } from "../parts/dialog.tsx";
import { Choice, TextField } from "../parts/fields.tsx";
import { countedText } from "../parts/format.ts";
import {
  type ListedResource,
  type ListViolation,
  manifestsOf,
  type ParsedList,
  parseList,
  sharedManifestKey,
  withPlaces,
} from "../parts/lists/list-file.ts";
import { ErrorText } from "../parts/states.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Foreign } from "../parts/text.tsx";
import { textHash } from "../parts/text-hash.ts";
import type { ConfigList, JobSnapshot } from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";
import { usePoll } from "../service/poll.ts";
import { postJson, RequestError } from "../service/service-request.ts";

const PREVIEW_ROWS = 10;
/** Most accepted jobs that are links, the latest ones. */
const LINKS_MAX = 50;
/** The default of `api.max_resources_per_manifest`, for roles that may not read the configuration. */
const RESOURCES_MAX = 1000;
const CONFIG_MS = 600_000;
const PRIORITIES: readonly JobSnapshot["priority"][] = ["low", "normal", "high"];

const COLUMNS: readonly Column<ListedResource>[] = [
  { title: "Resource", cell: ({ id }) => <Foreign text={id} /> },
  { title: "URL", cell: ({ url }) => <Foreign text={url} wide /> },
];

export function SubmitPage() {
  const [text, setText] = useState("");
  const list = useMemo(() => parseList(text), [text]);
  const load = async (file: File | undefined) => {
    if (file !== undefined) setText(await file.text());
  };
  return (
    <>
      <h1>Submit</h1>
      <p class="faint">
        Paste URLs, one a line, or drop a file: a manifest, an array of resources, CSV or TSV with a header, or NDJSON.
      </p>
      <textarea
        class="list"
        rows={10}
        aria-label="URLs or a list"
        spellcheck={false}
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void load(event.dataTransfer?.files[0]);
        }}
      />
      <label class="field">
        File
        <input type="file" onChange={({ currentTarget }) => void load(currentTarget.files?.[0])} />
      </label>
      <Violations violations={list.violations} />
      {list.resources.length > 0 && (
        <>
          <h2>
            {countedText(list.resources.length, "resource")}
            {list.resources.length > PREVIEW_ROWS && <span class="faint"> · the first {PREVIEW_ROWS}</span>}
          </h2>
          <Table
            caption="Preview"
            columns={COLUMNS}
            rows={list.resources.slice(0, PREVIEW_ROWS)}
            keyOf={({ id }) => id}
          />
          <Send list={list} />
        </>
      )}
    </>
  );
}

function Violations({ violations }: { readonly violations: readonly ListViolation[] }) {
  if (violations.length === 0) return null;
  return (
    <ul class="error">
      {violations.map(({ place, message }) => (
        <li key={`${place} ${message}`}>
          {place}: {message}
        </li>
      ))}
    </ul>
  );
}

/** Sends the resources, as many jobs as their number needs. */
function Send({ list }: { readonly list: ParsedList }) {
  const [type, setType] = useState("");
  const [tenant, setTenant] = useState("");
  const [priority, setPriority] = useState("");
  const [jobs, setJobs] = useState<readonly string[]>([]);
  const [error, setError] = useState<RequestError>();
  const [isBusy, setBusy] = useState(false);
  const visit = useMemo(() => crypto.getRandomValues(new Uint8Array(16)).toHex(), []);
  const sizeMax = useResourcesMax();
  const manifests = useMemo(() => manifestsOf(list, { sizeMax, priority }), [list, sizeMax, priority]);
  // The error names places of the list that was sent. An effect after painting would show it for a moment longer.
  useLayoutEffect(() => setError(undefined), [list]);
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    const ids: string[] = [];
    try {
      for (const manifest of manifests) {
        // A manifest that was accepted already, in an earlier try of the list, makes no second job.
        const key = `${visit}-${textHash(JSON.stringify([manifest, type]))}`;
        const headers = { "x-fetchbox-idempotency-key": key, ...namesOf(type, tenant) };
        ids.push((await postJson<{ job_id: string }>("jobs", manifest, headers)).job_id);
        setJobs([...ids]);
      }
      announce(`Accepted: ${countedText(ids.length, "job")}.`);
    } catch (failure) {
      const { message, status, code, requestId } = failure as RequestError;
      setError(new RequestError({ message: withPlaces(message, list, ids.length * sizeMax), status, code, requestId }));
    }
    setBusy(false);
  };
  return (
    <>
      <KeptMembers members={list.members} jobs={manifests.length} />
      <div class="filters">
        <TextField label="Job type" placeholder="default" value={type} onChange={setType} />
        <TextField label="Tenant" placeholder="default" value={tenant} onChange={setTenant} />
        <Choice
          label="Priority"
          value={priority}
          options={PRIORITIES}
          none={"attributes" in list.members ? "as in the manifest" : "default"}
          onChange={setPriority}
        />
        <Action
          needs="submit"
          unless={list.violations.length > 0 ? "Correct the list first." : isBusyText(isBusy)}
          onClick={() => void submit()}
        >
          Submit {countedText(manifests.length, "job")}
        </Action>
      </div>
      {error !== undefined && <ErrorText error={error} />}
      {jobs.length > 0 && (
        <p>
          Accepted: {countedText(jobs.length, "job")}{" "}
          {jobs.slice(-LINKS_MAX).map((id) => (
            <a key={id} href={hrefOf(["jobs", id])}>
              {id}{" "}
            </a>
          ))}
        </p>
      )}
    </>
  );
}

/** The members that each job takes over from a pasted manifest. */
function KeptMembers({ members, jobs }: { readonly members: ParsedList["members"]; readonly jobs: number }) {
  const names = Object.keys(members).filter((name) => name !== "manifest_version");
  if (names.length === 0) return null;
  const key = sharedManifestKey(members, jobs);
  return (
    <>
      <p>
        {jobs > 1 ? `Each of the ${countedText(jobs, "job")} has` : "The job has"} these members of the manifest, too:{" "}
        <Foreign text={names.join(", ")} wide />.
      </p>
      {key !== undefined && (
        <p class="error">
          All of the jobs write the same manifest object, <Foreign text={key} wide />: only that of the last job stays.
        </p>
      )}
    </>
  );
}

function isBusyText(isBusy: boolean): string | undefined {
  return isBusy ? "The jobs are being submitted." : undefined;
}

function namesOf(type: string, tenant: string): Readonly<Record<string, string>> {
  return {
    ...(type !== "" && { "x-fetchbox-job-type": type }),
    ...(tenant !== "" && { "x-fetchbox-tenant": tenant }),
  };
}

function useResourcesMax(): number {
  const path = refusal("operator") === undefined ? "operators/config" : undefined;
  const { data } = usePoll<ConfigList>(path, CONFIG_MS);
  const found = data?.values.find(({ key }) => key === "api.max_resources_per_manifest");
  return typeof found?.value === "number" ? found.value : RESOURCES_MAX;
}
