import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { StatusLine } from "./frame/announcement.tsx";
import { Banner, Header } from "./frame/header.tsx";
import { KeyHelp } from "./frame/key-help.tsx";
import { hrefOf, place, redirect } from "./frame/location.ts";
import { pageRefusal } from "./frame/pages.ts";
import { SignIn } from "./frame/sign-in.tsx";
import { DeadLettersPage } from "./pages/dead-letters-page.tsx";
import { DownloadsPage } from "./pages/downloads-page.tsx";
import { HostsPage } from "./pages/hosts-page.tsx";
import { JobPage } from "./pages/job-page.tsx";
import { JobsPage } from "./pages/jobs-page.tsx";
import { LetterPage } from "./pages/letter-page.tsx";
import { OperationsPage } from "./pages/operations-page.tsx";
import { OverviewPage } from "./pages/overview-page.tsx";
import { SubmitPage } from "./pages/submit-page.tsx";
import { SystemPage } from "./pages/system-page.tsx";
import { Empty } from "./parts/states.tsx";
import type { Overview } from "./service/answers.ts";
import { needsSignIn, session } from "./service/browser-session.ts";
import { instanceName } from "./service/instance.ts";
import { LIST_MS, OVERVIEW_MS, type Polled, usePoll } from "./service/poll.ts";

export function ConsoleApp() {
  return (
    <>
      <Content />
      <StatusLine />
    </>
  );
}

function Content() {
  if (needsSignIn.value) return <SignIn />;
  return session.value === undefined ? <p class="faint">FetchBox is asked for the session…</p> : <Frame />;
}

function Frame() {
  const [page = "", id = ""] = place.value.path;
  const path = pageRefusal("") === undefined ? "operators/overview" : undefined;
  const poll = usePoll<Overview>(path, page === "" ? OVERVIEW_MS : LIST_MS);
  // A role that may not read the overview has the name from the session.
  const name = poll.data?.instance.name ?? instanceName.value;
  useEffect(() => {
    instanceName.value = name;
    const parts = [id, page || "overview", `FetchBox ${name}`.trim()];
    document.title = parts.filter((part) => part !== "").join(" – ");
  }, [name, page, id]);
  return (
    <>
      <Header poll={poll} />
      <Banner poll={poll} />
      <main>{pageRefusal(page) === undefined ? pageOf(poll) : <Refused page={page} />}</main>
      <KeyHelp />
    </>
  );
}

/** Stands for a page that the role does not allow. The start leads to the jobs, which every role sees. */
function Refused({ page }: { readonly page: string }) {
  useEffect(() => {
    if (page === "") redirect(hrefOf(["jobs"]));
  }, [page]);
  return (
    <Empty>
      {pageRefusal(page)} <a href={hrefOf(["jobs"])}>Go to the jobs.</a>
    </Empty>
  );
}

/** The page of the place. The addresses are links to keep: they may not change. */
function pageOf(poll: Polled<Overview>): ComponentChildren {
  const [page = "", id] = place.value.path;
  switch (page) {
    case "":
      return <OverviewPage poll={poll} />;
    case "jobs":
      return id === undefined ? <JobsPage /> : <JobPage id={id} />;
    case "downloads":
      return <DownloadsPage />;
    case "hosts":
      return <HostsPage />;
    case "dead-letters":
      return id === undefined ? <DeadLettersPage /> : <LetterPage id={id} />;
    case "operations":
      return <OperationsPage />;
    case "system":
      return <SystemPage poll={poll} />;
    case "submit":
      return <SubmitPage />;
    default:
      return (
        <p>
          The console has no such page. <a href={hrefOf([])}>Go to the overview.</a>
        </p>
      );
  }
}
