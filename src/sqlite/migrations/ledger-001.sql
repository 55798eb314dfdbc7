-- ledger.db is a projection of queue.db: the history of every job. Times are milliseconds since the epoch.

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL UNIQUE,
  job_type TEXT NOT NULL,
  tenant TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
  trace_id TEXT NOT NULL,
  manifest_url TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed', 'partial', 'failed', 'cancelled')),
  total INTEGER NOT NULL CHECK (total >= 0),
  completed INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
  failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
  bytes INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  first_task INTEGER NOT NULL,
  last_task INTEGER NOT NULL,
  log_count INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  completed_at INTEGER,
  -- 0 once its log rows are past their retention; log_count stays.
  has_logs INTEGER NOT NULL DEFAULT 1 CHECK (has_logs IN (0, 1)),
  -- 1 if the job is past its retention: its rows are deleted in steps, and readers do not see it.
  pruning INTEGER NOT NULL DEFAULT 0 CHECK (pruning IN (0, 1)),
  CHECK (completed + failed + cancelled <= total)
) STRICT;
CREATE INDEX jobs_by_status ON jobs (status, seq);
-- With the status, so that a tenant's few failed jobs are found among a million; a list of any status merges them.
CREATE INDEX jobs_by_type ON jobs (job_type, status, seq);
CREATE INDEX jobs_by_tenant ON jobs (tenant, status, seq);
CREATE INDEX jobs_by_end ON jobs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX jobs_pruning ON jobs (seq) WHERE pruning = 1;
CREATE INDEX jobs_with_logs ON jobs (completed_at) WHERE completed_at IS NOT NULL AND has_logs = 1;

-- One row per task that ended.
CREATE TABLE results (
  task INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('completed', 'failed', 'cancelled')),
  resource_id TEXT NOT NULL,
  url TEXT NOT NULL,
  final_url TEXT,
  attempts INTEGER NOT NULL,
  http_status INTEGER,
  bytes INTEGER,
  sha256 BLOB,
  integrity TEXT CHECK (integrity IN ('verified', 'unverified')),
  etag TEXT,
  content_type TEXT,
  storage_url TEXT,
  error_code TEXT,
  error_message TEXT,
  started_at INTEGER,
  finished_at INTEGER NOT NULL,
  -- An AttemptHistory message: the attempts that failed.
  history BLOB,
  CHECK (state <> 'completed' OR (bytes IS NOT NULL AND sha256 IS NOT NULL AND storage_url IS NOT NULL)),
  CHECK ((state = 'failed') = (error_code IS NOT NULL))
) STRICT;
CREATE INDEX results_failed ON results (job, task) WHERE state = 'failed';

CREATE TABLE logs (
  job INTEGER NOT NULL,
  -- Counts from 0 within the job, without gaps.
  offset INTEGER NOT NULL,
  at INTEGER NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
  message TEXT NOT NULL,
  resource_id TEXT,
  -- JSON object.
  fields TEXT NOT NULL,
  PRIMARY KEY (job, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  -- The job may be gone before its key.
  job INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('applied_seq', '0');
