import { type Step, StepFailure, type StepFinding } from "../../check-step.ts";
import { completionBody } from "../client/completion-body.ts";
import { isSuccess } from "../client/s3-client.ts";
import { elementsOf, textOf } from "../client/xml.ts";
import { bareEtag } from "../metadata.ts";
import { compareObject, HEAD_STEP, PUT_STEP } from "./object-steps.ts";
import { BODY, notS3, type Probe } from "./probe.ts";
import type { TimedReply } from "./reply-text.ts";

const MIB = 1024 * 1024;
const PARTS = "parts";
const UNEVEN = "uneven-parts";
const ABORTED = "aborted-parts";

const CREATE = "create upload";
const LIST = "list open uploads";
const SEND = "parts of 5 MiB and 11 bytes";
const COMPLETE = "complete upload";

/** Uploads in parts: one that is completed, one whose parts differ, one that is aborted. */
export function multipartSteps(probe: Probe): readonly Step[] {
  const even = [part(5), BODY];
  let uploadId = "";
  let etags: readonly string[] = [];
  return [
    {
      name: CREATE,
      needs: [PUT_STEP],
      async run() {
        const created = await create(probe, PARTS);
        uploadId = created.uploadId;
        return probe.said(created.reply);
      },
    },
    { name: LIST, needs: [CREATE], run: () => listed(probe, PARTS, uploadId) },
    {
      name: SEND,
      needs: [CREATE],
      async run() {
        etags = await send(probe, PARTS, uploadId, even);
        return `${etags.length} parts taken`;
      },
    },
    { name: COMPLETE, needs: [SEND], run: async () => probe.said(await complete(probe, PARTS, uploadId, etags)) },
    {
      name: "GET of the parts and compare",
      needs: [COMPLETE],
      run: () => compareObject(probe, PARTS, Buffer.concat(even)),
    },
    { name: "parts of 5 MiB, 6 MiB and 11 bytes", needs: [COMPLETE, HEAD_STEP], run: () => uneven(probe) },
    { name: "abort upload", needs: [CREATE], run: () => abort(probe) },
  ];
}

function part(mib: number): Buffer {
  return Buffer.alloc(mib * MIB, `part of ${mib} MiB `);
}

async function create(probe: Probe, name: string): Promise<{ reply: TimedReply; uploadId: string }> {
  probe.opened(name);
  const reply = await probe.create(name);
  probe.must(reply, "POST", "s3:PutObject");
  const uploadId = textOf(reply.body.toString("utf8"), "UploadId");
  if (uploadId === undefined || uploadId === "") throw notS3(`${probe.said(reply)}, without an UploadId`);
  probe.opened(name, uploadId);
  return { reply, uploadId };
}

async function listed(probe: Probe, name: string, uploadId: string): Promise<StepFinding> {
  const { reply, uploadIds } = await openUploads(probe, name);
  if (uploadIds.includes(uploadId)) return probe.said(reply);
  throw new StepFailure(
    `${probe.said(reply)}, but the open upload is not in the list: FetchBox cannot find uploads whose id got lost; ` +
      "let a rule of the bucket abort old ones",
  );
}

async function openUploads(probe: Probe, name: string) {
  const query = { uploads: "", prefix: probe.prefix + name };
  const reply = await probe.ask({ method: "GET", query });
  probe.must(reply, "GET", "s3:ListBucketMultipartUploads");
  const uploads = [...elementsOf(reply.body.toString("utf8"), "Upload")];
  return { reply, uploadIds: uploads.flatMap((upload) => textOf(upload, "UploadId") ?? []) };
}

/** Sends parts, and returns their ETags. */
async function send(probe: Probe, name: string, uploadId: string, parts: readonly Buffer[]): Promise<string[]> {
  const etags: string[] = [];
  for (const body of parts) {
    const reply = await probe.putPart(name, etags.length + 1, uploadId, body);
    probe.must(reply, "PUT", "s3:PutObject");
    const etag = reply.headers.get("etag");
    if (etag === undefined) throw notS3(`${probe.said(reply)}, without an ETag`);
    etags.push(bareEtag(etag));
  }
  return etags;
}

async function complete(probe: Probe, name: string, uploadId: string, etags: readonly string[]): Promise<TimedReply> {
  const body = completionBody(etags.map((etag) => ({ etag })));
  const headers = { "content-type": "application/xml" };
  const reply = await probe.ask({ method: "POST", name, query: { uploadId }, headers, body });
  probe.must(reply, "POST", "s3:PutObject");
  // S3 begins its 200 before it knows whether the completion succeeds.
  if (textOf(reply.body.toString("utf8"), "ETag") === undefined) {
    throw new StepFailure(`${probe.said(reply)}, but the answer has no ETag: the upload is not complete`);
  }
  probe.ended(uploadId);
  return reply;
}

/** Some servers (Cloudflare R2) want parts of one size, and FetchBox sends such parts. */
async function uneven(probe: Probe): Promise<StepFinding> {
  const parts = [part(5), part(6), BODY];
  const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { uploadId } = await create(probe, UNEVEN);
  try {
    await complete(probe, UNEVEN, uploadId, await send(probe, UNEVEN, uploadId, parts));
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    return { note: `not supported: ${error.message}; FetchBox sends parts of one size` };
  }
  const visible = await probe.visibleBytes(UNEVEN);
  if (visible === bytes) return `taken, ${bytes} bytes`;
  throw new StepFailure(`taken, but the object has ${visible ?? 0} of ${bytes} bytes`);
}

async function abort(probe: Probe): Promise<StepFinding> {
  const { uploadId } = await create(probe, ABORTED);
  await send(probe, ABORTED, uploadId, [BODY]);
  const reply = await probe.ask({ method: "DELETE", name: ABORTED, query: { uploadId } });
  probe.must(reply, "DELETE", "s3:AbortMultipartUpload");
  const after = await probe.putPart(ABORTED, 1, uploadId, BODY);
  if (isSuccess(after)) throw new StepFailure(`${probe.said(reply)}, but the upload still takes parts`);
  probe.ended(uploadId);
  return probe.said(reply);
}
