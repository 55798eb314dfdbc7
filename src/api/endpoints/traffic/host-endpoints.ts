import { HOST_GROUPS, type HostGroup } from "../../../jobs/host-view.ts";
import { HOST_SORTS, type HostPosition, type HostQuery } from "../../../worker/hosts/host-directory.ts";
import { formatHostCursor, hostCursorParameter } from "../../http/cursor.ts";
import { ApiError } from "../../http/errors.ts";
import { json } from "../../http/json-response.ts";
import { choice, integer, text } from "../../http/parameters.ts";
import { HOST_EXAMPLE, type HostList, type HostRow } from "../../openapi/traffic-schemas.ts";
import { type Endpoint, withQuery } from "../endpoint.ts";

/** The hosts as the endpoints use them. */
export interface HostEndpointsDeps {
  readonly hosts: {
    readonly page: (
      query: HostQuery,
      from: HostPosition | undefined,
    ) => Promise<{ hosts: HostRow[]; next: HostPosition | undefined }>;
    /** A host; `undefined` for an unknown one. */
    readonly find: (host: string) => Promise<HostRow | undefined>;
    /** Lets one download test a closed host, and resolves to the host; `undefined` for an unknown one. */
    readonly reopen: (host: string) => Promise<HostRow | undefined>;
  };
}

/** A row costs a few searches in the stores, so a page has fewer rows than that of another list. */
const HOST_LIMIT = { minimum: 1, maximum: 200, fallback: 50 };
const GROUPS = Object.keys(HOST_GROUPS) as HostGroup[];
const PART_OF_HOST = /^[!-~]{1,261}$/;

/** Endpoints of the hosts that downloads come from. */
export function hostEndpoints(deps: HostEndpointsDeps): Endpoint[] {
  return [listHosts(deps), readHost(deps), reopenHost(deps)];
}

function listHosts({ hosts }: HostEndpointsDeps): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/hosts",
    access: "read",
    doc: {
      tag: "Queue",
      summary: "List hosts",
      description:
        "Lists the hosts that tasks wait for, that downloads run from, that were active in the last five minutes, or " +
        "that are slowed or closed. The work for a page does not grow with the number of hosts. So each part of up " +
        "to 400 hosts is sorted, not the whole list, and a page can be short or empty: continue until `next_cursor` is " +
        "null. A host that changes between two pages may be missing, or be listed twice.",
      answers: {
        200: {
          description: "A page of hosts.",
          schema: "HostList",
          example: { hosts: [HOST_EXAMPLE], next_cursor: null },
        },
      },
    },
    query: {
      state: choice(
        GROUPS,
        "Only hosts in these states. `open`: `open` and `rate`. `slowed`: `slowed`. `closed`: `waiting`, `breaker` " +
          "and `probing`.",
      ),
      q: text(
        PART_OF_HOST,
        "must be a part of a host's name: visible ASCII characters",
        "Only hosts whose name contains this text.",
        "example.com",
      ),
      sort: choice(
        HOST_SORTS,
        "The order: most `waiting` tasks first (the default), most `running` downloads first, or most `failed` " +
          "attempts of the last five minutes first.",
      ),
      limit: integer(HOST_LIMIT, "Maximum number of hosts on the page."),
      cursor: hostCursorParameter("hosts"),
    },
    answer: async (_call, { state, q = "", sort = "waiting", limit, cursor }) => {
      const query = { group: state, contains: q.toLowerCase(), sort, limit };
      const { hosts: rows, next } = await hosts.page(query, cursor);
      const body: HostList = {
        hosts: rows,
        next_cursor: next === undefined ? null : formatHostCursor("hosts", next),
      };
      return json(body);
    },
  });
}

function readHost({ hosts }: HostEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/hosts/:host",
    access: "read",
    doc: {
      tag: "Queue",
      summary: "Read a host",
      description:
        "Shows one host: its limits, its state and its figures. The host is URL-encoded, with its port unless that is " +
        "the default of the scheme: `cdn.example.com%3A8443`.",
      answers: { 200: { description: "The host.", schema: "HostDetail", example: HOST_EXAMPLE } },
      errors: ["NOT_FOUND"],
    },
    answer: async ({ params }) => json(found(await hosts.find(hostOf(params)))),
  };
}

function reopenHost({ hosts }: HostEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/hosts/:host/reopen",
    access: "operator",
    doc: {
      tag: "Queue",
      summary: "Try a closed host now",
      description:
        "Ends the pause that the host asked for, or that its breaker set. One download tests the host; its result " +
        "decides. If no task of the host is due, the first one becomes due. A host that is not closed is unchanged.",
      answers: {
        200: {
          description: "The host, after the change.",
          schema: "HostDetail",
          example: { ...HOST_EXAMPLE, state: "probing", limit: 1, closed_for_ms: 0 },
        },
      },
      errors: ["NOT_FOUND", "DISK_FULL"],
    },
    answer: async ({ params, note, recordActivity }) => {
      const host = hostOf(params);
      note({ host });
      const before = await hosts.find(host);
      const reopened = found(await hosts.reopen(host));
      if (before?.state !== reopened.state) recordActivity({ action: "reopen", target: host, count: null });
      return json(reopened);
    },
  };
}

/** @throws ApiError NOT_FOUND if the path has a broken escape, for which the router gives null */
function hostOf({ host }: Readonly<Record<string, string | null>>): string {
  if (typeof host !== "string") throw new ApiError("NOT_FOUND");
  return host.toLowerCase();
}

/** @throws ApiError NOT_FOUND */
function found(host: HostRow | undefined): HostRow {
  if (host !== undefined) return host;
  const message = "no task, download or dead letter has this host; write it as in /operators/hosts, with its port";
  throw new ApiError("NOT_FOUND", { message });
}
