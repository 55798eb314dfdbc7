/** For a process that is to be told SIGHUP while its program is still being loaded: a preload of `bun`. */
Bun.plugin({
  name: "hangup at load",
  setup(build) {
    build.onLoad({ filter: /run-to-exit\.ts$/ }, async ({ path }) => {
      process.kill(process.pid, "SIGHUP");
      return { contents: await Bun.file(path).text(), loader: "ts" };
    });
  },
});
