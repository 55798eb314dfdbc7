import { describeStores } from "../contract/stores/all.ts";
import { openSqliteBackend } from "../support/sqlite-backend.ts";

describeStores("stores on SQLite", openSqliteBackend);
