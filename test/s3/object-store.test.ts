import { describeObjectStore } from "../contract/object-store.ts";
import { makeS3Harness } from "../support/s3-harness.ts";
import { s3ServerFor } from "../support/s3-server.ts";

const server = s3ServerFor("the object store suite on S3");
if (server !== undefined) describeObjectStore("S3 object store", () => makeS3Harness(server));
