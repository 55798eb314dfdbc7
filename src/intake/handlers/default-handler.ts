import type { TaskSpec } from "../../jobs/task.ts";
import { withDefaults } from "../../net/request-header.ts";
import type { Manifest, Resource } from "../manifest/manifest-schema.ts";
import type { HandlerRunner, HandlerSettings, JobContext } from "./handler.ts";

/** Tasks in one batch. Between two batches the intake stages tasks, and the event loop handles other requests. */
const BATCH = 1000;

/** The handler that makes one task per resource, with the handler's default headers, proxy pool and `reject_html`. */
export function createDefaultHandler() {
  return {
    isOwn: true,
    *tasks({ resources }: Manifest, { handler }: JobContext): Iterable<TaskSpec[]> {
      for (let at = 0; at < resources.length; at += BATCH) {
        yield resources.slice(at, at + BATCH).map((resource) => taskOf(resource, handler));
      }
    },
    close() {},
  } satisfies HandlerRunner;
}

function taskOf(resource: Resource, { defaultHeaders, proxyPool, rejectHtml }: HandlerSettings): TaskSpec {
  const { id, url, tags, checksum, size, content_type: contentType, reject_html: reject, proxy_pool: pool } = resource;
  const headers = withDefaults(resource.headers ?? {}, defaultHeaders);
  const rejects = reject ?? rejectHtml;
  const poolOrDefault = pool ?? proxyPool;
  return {
    resourceId: id,
    url,
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...(tags === undefined ? {} : { tags }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(size === undefined ? {} : { size }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(rejects === undefined ? {} : { rejectHtml: rejects }),
    ...(poolOrDefault === undefined ? {} : { proxyPool: poolOrDefault }),
  };
}
