import { base64OfHex, md5Hex, sha256Hex } from "../../../std/digest.ts";
import { type Step, StepFailure, type StepFinding } from "../../check-step.ts";
import { trailerBody } from "../client/aws-chunked.ts";
import { isSuccess } from "../client/s3-client.ts";
import { piecesOf } from "../client/server-probe.ts";
import { HEAD_STEP, PUT_STEP } from "./object-steps.ts";
import { BODY, type Probe, type ProbeRequest, sha256Header } from "./probe.ts";

/** How to send a body with the checksum of `summed`: its own, or that of other bytes. */
type Way = (summed: Uint8Array) => Partial<ProbeRequest>;

const OTHER = Buffer.from("fetchbox no");

const WAYS: Readonly<Record<string, Way>> = {
  "checksum in a header": (summed) => ({ headers: sha256Header(summed) }),
  "checksum in a trailer": trailer,
  "Content-MD5": (summed) => ({
    headers: { "content-md5": base64OfHex(md5Hex(summed)) },
  }),
  "signed SHA-256": (summed) => ({ payloadHash: sha256Hex(summed) }),
};

/** The checksums that a server takes, and whether it refuses a body that does not match. */
export function checksumSteps(probe: Probe): readonly Step[] {
  return Object.entries(WAYS).map(([name, way], number) => ({
    name,
    needs: [PUT_STEP, HEAD_STEP],
    run: () => tryWay(probe, way, number),
  }));
}

async function tryWay(probe: Probe, way: Way, number: number): Promise<StepFinding> {
  const [right, wrong] = [`sum-${number}`, `wrong-sum-${number}`];
  const taken = await probe.put(right, way(BODY));
  if (!isSuccess(taken)) return { note: `not supported: ${probe.said(taken)}` };
  const bytes = await probe.visibleBytes(right);
  if (bytes !== BODY.byteLength) {
    return { note: `not supported: ${probe.said(taken)}, but the object has ${bytes ?? 0} bytes` };
  }
  const refused = await probe.put(wrong, way(OTHER));
  if (isSuccess(refused)) return { note: "taken, but a wrong one too: the server does not compare it" };
  const visible = await probe.visibleBytes(wrong);
  if (visible === undefined) return `taken; a wrong one is refused: ${probe.said(refused)}`;
  throw new StepFailure(`a wrong one is refused (${probe.said(refused)}), but the object is visible all the same`);
}

/** The checksum comes behind the body. */
function trailer(summed: Uint8Array): Partial<ProbeRequest> {
  return trailerBody(BODY.byteLength, piecesOf(BODY), () => sha256Hex(summed));
}
