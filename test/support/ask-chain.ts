/** Asks the AWS chain with the environment of this process, and prints what came of it as JSON. */
import { askChain, NoCredentialsError } from "../../src/storage/s3/credentials/credential-chain.ts";

try {
  console.log(JSON.stringify(await askChain(process.env, "eu-west-1")));
} catch (error) {
  if (!(error instanceof NoCredentialsError)) throw error;
  console.log(JSON.stringify({ tried: error.tried, text: Bun.inspect(error) }));
}
