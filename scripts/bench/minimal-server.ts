/** What a start costs at least: one route, nothing else. */
import { Elysia } from "elysia";

new Elysia().get("/health/ready", () => "ready").listen({ hostname: "127.0.0.1", port: Number(process.env["PORT"]) });
