/**
 * The content security policy of the console. It allows only files of this service, and no scripts or styles within the
 * page. Text cannot become markup, because scripts may not set `innerHTML`.
 */
export const CONSOLE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");
