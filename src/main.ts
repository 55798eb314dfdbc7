import { exitCodeOf } from "./cli/exit-code.ts";
import { runProgram } from "./cli/program.ts";

const UNFORESEEN = 1;

// Bun's fetch would go past the proxies of the configuration for what these name.
delete process.env["NO_PROXY"];
delete process.env["no_proxy"];

try {
  process.exit(
    await runProgram(process.argv.slice(2), {
      env: process.env,
      cwd: process.cwd(),
      out: (text) => void process.stdout.write(text),
      err: (text) => void process.stderr.write(text),
    }),
  );
} catch (error) {
  const code = exitCodeOf(error);
  process.stderr.write(`fetchbox: ${code === undefined ? Bun.inspect(error) : (error as Error).message}\n`);
  process.exit(code ?? UNFORESEEN);
}
