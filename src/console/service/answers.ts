import type { Static } from "@sinclair/typebox";
import type { ActivityListSchema } from "../../api/console/activity-endpoint.ts";
import type { ConfigListSchema } from "../../api/console/config-endpoint.ts";
import type { SessionStateSchema } from "../../api/sign-in/session-endpoints.ts";

// The shapes of the service's answers, from the schemas of its API.

export type { Attention, JobCountsAnswer, Overview, RatesAnswer } from "../../api/openapi/overview-schemas.ts";
export type {
  Analysis,
  AttemptRow,
  DeadLetterDetail,
  DeadLetterRow,
  JobSnapshot,
  LogPage,
  OperationRow,
  ResourceRow,
} from "../../api/openapi/schemas.ts";
export type { HealthAnswer } from "../../api/openapi/service-schemas.ts";
export type { DownloadList, DownloadRow, HostList, HostRow } from "../../api/openapi/traffic-schemas.ts";

export type SessionAnswer = Static<typeof SessionStateSchema>;
export type Role = NonNullable<SessionAnswer["role"]>;
export type ConfigList = Static<typeof ConfigListSchema>;
export type ConfigValue = ConfigList["values"][number];
export type ActivityList = Static<typeof ActivityListSchema>;
export type ActivityEntry = ActivityList["entries"][number];
