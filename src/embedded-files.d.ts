/** Files that the bundler embeds: `with { type: "text" }` gives the contents, `with { type: "file" }` a path. */
declare module "*.sql" {
  const contents: string;
  export default contents;
}
declare module "*.bundle" {
  const contents: string;
  export default contents;
}
