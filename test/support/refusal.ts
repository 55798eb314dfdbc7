import { expect } from "bun:test";
import { errorOf } from "./answers.ts";
import type { Service } from "./service.ts";
import { LOCAL } from "./storage.ts";

/** Status and code of an error answer. */
export async function refusal(response: Response): Promise<[number, string]> {
  return [response.status, (await errorOf(response)).code];
}

/** Nothing of a job that was not accepted is to be found; for a service on local storage. */
export async function expectNoJob(service: Service): Promise<void> {
  expect(await service.get("/operators/jobs")).toEqual({ jobs: [], next_cursor: null });
  expect(await LOCAL.keys(service, [""])).toEqual([]);
  expect(await LOCAL.leftovers(service, [])).toEqual([]);
}
