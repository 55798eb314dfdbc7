import { describeRandomOperations } from "../contract/stores/random-operations.ts";
import { openSqliteBackend } from "../support/sqlite-backend.ts";

describeRandomOperations("stores on SQLite", openSqliteBackend);
