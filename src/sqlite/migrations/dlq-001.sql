-- dlq.db is a projection of queue.db: the tasks that failed for good. Times are milliseconds since the epoch.

CREATE TABLE dead_letters (
  task INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  job_id TEXT NOT NULL,
  job_type TEXT NOT NULL,
  tenant TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  url TEXT NOT NULL,
  host TEXT NOT NULL,
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  failed_at INTEGER NOT NULL,
  -- A DeadLetter message: the task with its headers, and its attempts.
  letter BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_job ON dead_letters (job_id, task);
CREATE INDEX dead_letters_by_code ON dead_letters (code, task);
CREATE INDEX dead_letters_by_host ON dead_letters (host, task);
CREATE INDEX dead_letters_by_type ON dead_letters (job_type, task);
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant, task);
CREATE INDEX dead_letters_by_age ON dead_letters (failed_at, task);
-- The first, the last and a sample row of a group, found without a scan.
CREATE INDEX dead_letters_by_code_age ON dead_letters (code, failed_at, task);
CREATE INDEX dead_letters_by_host_age ON dead_letters (host, failed_at, task);
CREATE INDEX dead_letters_by_type_age ON dead_letters (job_type, failed_at, task);

-- One row: the number of dead letters, which spares a count.
CREATE TABLE size (
  letters INTEGER NOT NULL CHECK (letters >= 0)
) STRICT;
INSERT INTO size VALUES (0);

-- The numbers of dead letters by group, which spare a count; a day is in UTC, YYYY-MM-DD.
CREATE TABLE groups (
  grouping TEXT NOT NULL CHECK (grouping IN ('code', 'host', 'job_type', 'day')),
  key TEXT NOT NULL,
  letters INTEGER NOT NULL CHECK (letters > 0),
  PRIMARY KEY (grouping, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX groups_by_size ON groups (grouping, letters DESC, key);

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('applied_seq', '0');
