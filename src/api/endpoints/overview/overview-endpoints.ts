import { RATE_WINDOWS, type RateHistory, type RateWindow } from "../../../telemetry/rates/rate-history.ts";
import { isoTime } from "../../http/iso-time.ts";
import { json } from "../../http/json-response.ts";
import { choice } from "../../http/parameters.ts";
import { OVERVIEW_EXAMPLE, RATES_EXAMPLE } from "../../openapi/overview-examples.ts";
import type { Overview, RatesAnswer } from "../../openapi/overview-schemas.ts";
import { type Endpoint, withQuery } from "../endpoint.ts";

export interface OverviewEndpointsDeps {
  readonly overview: () => Promise<Overview>;
  readonly rateHistory: Pick<RateHistory, "read">;
}

/** `GET /operators/overview` and `GET /operators/rates`: the whole service, for a page that polls. */
export function overviewEndpoints({ overview, rateHistory }: OverviewEndpointsDeps): Endpoint[] {
  return [readOverview(overview), readRates(rateHistory)];
}

function readOverview(overview: OverviewEndpointsDeps["overview"]): Endpoint {
  return {
    method: "GET",
    path: "/operators/overview",
    access: "read",
    doc: {
      tag: "Service",
      summary: "Read the state of the service at a glance",
      description:
        "An answer of at most 16 KiB that a page can poll. Its cost does not depend on the number of jobs, tasks and " +
        "dead letters.",
      answers: { 200: { description: "The current state.", schema: "Overview", example: OVERVIEW_EXAMPLE } },
    },
    answer: async () => json(await overview()),
  };
}

const DEFAULT_WINDOW: RateWindow = "1h";

function readRates(history: OverviewEndpointsDeps["rateHistory"]): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/rates",
    access: "read",
    doc: {
      tag: "Service",
      summary: "Read the figures of the last hours",
      description:
        "The figures are kept in memory for a day, and start again with the process. A step before the start, and a " +
        "step without a sample, has the value null.",
      answers: { 200: { description: "The figures.", schema: "Rates", example: RATES_EXAMPLE } },
    },
    query: { window: choice(RATE_WINDOWS, `Length of the window. Default: \`${DEFAULT_WINDOW}\`.`) },
    answer: (_call, { window = DEFAULT_WINDOW }) => {
      const { stepSeconds, from, to, series } = history.read(window);
      const body: RatesAnswer = { step_seconds: stepSeconds, from: isoTime(from), to: isoTime(to), series };
      return json(body);
    },
  });
}
