import { type Step, StepFailure, type StepFinding } from "../../check-step.ts";
import type { StreamedBody } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import { compareObject, HEAD_STEP, OBJECT, PUT_STEP } from "./object-steps.ts";
import { BODY, type Probe } from "./probe.ts";

const CUT_BYTES = 3;
/** Time for the bytes to arrive before the connection ends, also over TLS. */
const ARRIVAL_MS = 200;
/** A server may show late the bytes that it received. */
const SHOWN_MS = 1000;

const NEW = "cut";

/**
 * Uploads that end in the middle. The promises about visible objects depend on a server that keeps no byte of such an
 * upload.
 */
export function cutSteps(probe: Probe): readonly Step[] {
  return [
    { name: "cut PUT", needs: [PUT_STEP, HEAD_STEP], run: () => cutNew(probe) },
    { name: "cut PUT over an object", needs: [PUT_STEP, HEAD_STEP], run: () => cutOver(probe) },
  ];
}

async function cutNew(probe: Probe): Promise<StepFinding> {
  await sendCut(probe, NEW);
  for (const ms of [0, SHOWN_MS]) {
    if (ms > 0) await probe.wait(ms);
    const bytes = await probe.visibleBytes(NEW);
    if (bytes === undefined) continue;
    throw new StepFailure(
      `the object is visible with ${bytes} of ${BODY.byteLength} bytes: this server is not atomic; ` +
        "a reader may get half an object",
    );
  }
  return "nothing is visible";
}

async function cutOver(probe: Probe): Promise<StepFinding> {
  await sendCut(probe, OBJECT);
  await probe.wait(SHOWN_MS);
  try {
    await compareObject(probe, OBJECT, BODY);
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    const message = `the earlier object was changed: this server is not atomic (${error.message})`;
    throw new StepFailure(message, { cause: error });
  }
  return "the earlier object is unchanged";
}

/** A PUT that announces more than it sends before it closes the connection. */
async function sendCut(probe: Probe, name: string): Promise<void> {
  const cut = new Error("cut on purpose");
  try {
    const reply = await probe.put(name, { body: cutBody(cut, () => probe.wait(ARRIVAL_MS)) });
    throw new StepFailure(`the server answered before it had the body: ${probe.said(reply)}`);
  } catch (error) {
    if (!(error instanceof S3Failure) || error.cause !== cut) throw error;
  }
}

function cutBody(cut: Error, arrival: () => Promise<void>): StreamedBody {
  let isBegun = false;
  return {
    bytes: BODY.byteLength,
    source: {
      async next() {
        if (!isBegun) {
          isBegun = true;
          // Other bytes than those of the object that may be there.
          return Buffer.from("cut").subarray(0, CUT_BYTES);
        }
        await arrival();
        throw cut;
      },
    },
  };
}
