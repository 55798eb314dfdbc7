import { randomUUID } from "node:crypto";
import { CHECK_FOLDER } from "../../../jobs/object-key.ts";
import { type Step, StepFailure, type StepFinding } from "../../check-step.ts";
import { isSuccess } from "../client/s3-client.ts";
import { TOKEN_HEADER } from "../metadata.ts";
import { BODY, type Probe, sha256Header } from "./probe.ts";

export const OBJECT = "object";
export const PUT_STEP = `PUT ${BODY.byteLength} bytes`;
export const HEAD_STEP = "HEAD";
const DELETE_STEP = "DELETE";

/** An object from its PUT to its HEAD and GET. */
export function writingSteps(probe: Probe): readonly Step[] {
  const token = randomUUID();
  return [
    { name: PUT_STEP, run: () => putObject(probe, token) },
    { name: HEAD_STEP, needs: [PUT_STEP], run: () => headObject(probe, token) },
    { name: "GET and compare", needs: [PUT_STEP], run: () => compareObject(probe, OBJECT, BODY) },
    { name: "proof of a copy", needs: [PUT_STEP], run: () => proveCopy(probe) },
  ];
}

/** Its end. */
export function removalSteps(probe: Probe): readonly Step[] {
  return [
    { name: DELETE_STEP, needs: [PUT_STEP], run: () => deleteObject(probe) },
    { name: "HEAD after DELETE", needs: [HEAD_STEP, DELETE_STEP], run: () => headNothing(probe) },
  ];
}

/** With a checksum; without it, where the server does not take that. */
async function putObject(probe: Probe, token: string): Promise<StepFinding> {
  const headers = { "content-type": "text/plain", [TOKEN_HEADER]: token };
  const summed = await probe.put(OBJECT, { headers: { ...headers, ...sha256Header(BODY) } });
  const reply = isSuccess(summed) ? summed : await probe.put(OBJECT, { headers });
  probe.must(reply, "PUT", `s3:PutObject for ${CHECK_FOLDER}*`);
  const checksum = isSuccess(summed) ? "taken" : `not supported (${probe.said(summed)})`;
  const etag = (reply.headers.get("etag") ?? "") === "" ? ", without an ETag" : "";
  return `${probe.said(reply)}, checksum sha256 ${checksum}${etag}`;
}

/** Stores an object as the service would, which counts as stored only if its copy is proven. */
async function proveCopy(probe: Probe): Promise<StepFinding> {
  const { provenBy } = await probe.store("proof");
  if (provenBy === "checksum") return "by a checksum";
  return { note: 'by its size alone: resources will show `"integrity": "size"`' };
}

async function headObject(probe: Probe, token: string): Promise<StepFinding> {
  const reply = await probe.ask({ method: "HEAD", name: OBJECT });
  probe.must(reply, "HEAD", "s3:GetObject");
  const bytes = reply.headers.get("content-length");
  if (bytes !== String(BODY.byteLength)) {
    throw new StepFailure(`${probe.said(reply)}, but Content-Length is ${bytes ?? "missing"}, not ${BODY.byteLength}`);
  }
  if (reply.headers.get(TOKEN_HEADER) === token) return `${probe.said(reply)}, metadata kept`;
  const note = `${probe.said(reply)}, but metadata is not kept: an upload whose answer gets lost cannot be recognized`;
  return { note };
}

/** The object must have exactly these bytes. */
export async function compareObject(probe: Probe, name: string, expected: Uint8Array): Promise<StepFinding> {
  const reply = await probe.ask({ method: "GET", name });
  probe.must(reply, "GET", "s3:GetObject");
  if (reply.body.equals(expected)) return `${probe.said(reply)}, the same ${expected.byteLength} bytes`;
  throw new StepFailure(
    `${probe.said(reply)}, but the ${reply.body.byteLength} bytes are not the ${expected.byteLength} that were stored`,
  );
}

async function deleteObject(probe: Probe): Promise<StepFinding> {
  const reply = await probe.ask({ method: "DELETE", name: OBJECT });
  probe.must(reply, "DELETE", "s3:DeleteObject");
  if (reply.headers.get("x-amz-delete-marker") !== "true") return probe.said(reply);
  return { note: `${probe.said(reply)}; the bucket keeps versions: removed objects still take space` };
}

async function headNothing(probe: Probe): Promise<StepFinding> {
  const bytes = await probe.visibleBytes(OBJECT);
  if (bytes === undefined) return "the object is gone";
  throw new StepFailure(`the object is still visible, with ${bytes} bytes`);
}
