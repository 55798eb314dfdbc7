import { type Static, Type } from "@sinclair/typebox";
import type { ValueLayer } from "../../config/load-config.ts";
import type { PrintedValue } from "../../config/print-config.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { json } from "../http/json-response.ts";
import { closed, oneOf } from "../openapi/schema-parts.ts";

const SOURCES = ["default", "file", "env"] as const;

const SOURCE_OF: Readonly<Record<ValueLayer["layer"], (typeof SOURCES)[number]>> = {
  default: "default",
  file: "file",
  ".env": "env",
  environment: "env",
  // `serve` takes no values from its command line.
  "command line": "env",
};

export const ConfigListSchema = closed(
  {
    values: Type.Array(
      closed(
        {
          key: Type.String({ description: "Path of the key, as in the TOML file." }),
          value: Type.Unknown({ description: "The value in use. Secrets are `***`, or a reference to a variable." }),
          source: oneOf(SOURCES, "Origin of the value. `env`: the environment or `.env`."),
          secret: Type.Boolean({ description: "True if the value contains a secret, which is masked." }),
        },
        "One value of the configuration.",
      ),
      { description: "The values, one for each key." },
    ),
  },
  "The configuration of the running service.",
);

const EXAMPLE: Static<typeof ConfigListSchema> = {
  values: [
    { key: "queue.workers", value: 8, source: "default", secret: false },
    { key: "server.auth.tokens", value: ["operator/alice:***"], source: "env", secret: true },
  ],
};

/** `GET /operators/config` */
export function configEndpoint(configuration: () => readonly PrintedValue[]): Endpoint {
  return {
    method: "GET",
    path: "/operators/config",
    access: "operator",
    doc: {
      tag: "Service",
      summary: "Read the configuration",
      description: "Lists every value that the service uses, with its origin, as `fetchbox config print` does.",
      answers: { 200: { description: "The values.", schema: "ConfigList", example: EXAMPLE } },
    },
    answer: () => {
      const values = configuration().map(({ key, value, layer, secret }) => ({
        key,
        value,
        source: SOURCE_OF[layer],
        secret,
      }));
      return json({ values } satisfies Static<typeof ConfigListSchema>);
    },
  };
}
