-- queue.db: the only truth. Times are milliseconds since the epoch.
-- No foreign keys: without an index on the child, which nothing else needs, deleting one job would read all tasks.

-- One row per sequence; a number is never used twice, even after its row was pruned.
CREATE TABLE sequences (
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sequences VALUES ('job', 0), ('task', 0), ('claim', 0);

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL UNIQUE,
  job_type TEXT NOT NULL,
  tenant TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
  trace_id TEXT NOT NULL,
  -- The span of its attempts, and whether it is sampled.
  span_id TEXT NOT NULL,
  sampled INTEGER NOT NULL CHECK (sampled IN (0, 1)),
  manifest_url TEXT NOT NULL,
  -- 'staged': its tasks are still being written. The next start removes it if it did not become live.
  status TEXT NOT NULL CHECK (status IN ('staged', 'queued', 'in_progress', 'completed', 'partial', 'failed', 'cancelled')),
  total INTEGER NOT NULL CHECK (total >= 0),
  completed INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
  failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
  -- The job's tasks are among these ids; another job's may lie between them.
  first_task INTEGER NOT NULL,
  last_task INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  finished_at INTEGER,
  -- 1 if the job is being cancelled: none of its tasks is claimed.
  cancelling INTEGER NOT NULL DEFAULT 0 CHECK (cancelling IN (0, 1)),
  -- Number of dead letters of its tasks: the job stays until it is 0.
  letters INTEGER NOT NULL DEFAULT 0 CHECK (letters >= 0),
  -- 1 if the job is past its retention: its rows are deleted in steps.
  pruning INTEGER NOT NULL DEFAULT 0 CHECK (pruning IN (0, 1)),
  CHECK (letters <= failed),
  CHECK (completed + failed + cancelled <= total),
  CHECK ((finished_at IS NULL) = (status IN ('staged', 'queued', 'in_progress')))
) STRICT;
CREATE INDEX jobs_staged ON jobs (seq) WHERE status = 'staged';
CREATE INDEX jobs_cancelling ON jobs (seq) WHERE cancelling = 1;
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL AND letters = 0;

CREATE TABLE tasks (
  id INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'retrying', 'completed', 'failed', 'cancelled')),
  -- When it may be claimed; NULL unless it waits.
  available_at INTEGER,
  claim_id INTEGER,
  -- By the clock of the process that claimed it.
  claimed_at INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  crashes INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  -- Whether the process ended while it was claimed: it may have been at work, and have stored its object.
  interrupted INTEGER NOT NULL DEFAULT 0 CHECK (interrupted IN (0, 1)),
  waiting_class TEXT CHECK (waiting_class IN ('throttled', 'unavailable')),
  waiting_since INTEGER,
  -- 1 if the task has a dead letter, so that it can be replayed.
  letter INTEGER NOT NULL DEFAULT 0 CHECK (letter IN (0, 1)),
  -- A Task message; emptied when the task is completed or lies in dlq.db.
  payload BLOB NOT NULL,
  -- An AttemptHistory message.
  history BLOB,
  CHECK ((available_at IS NOT NULL) = (state IN ('pending', 'retrying'))),
  CHECK ((claim_id IS NOT NULL) = (state = 'running')),
  CHECK ((claim_id IS NULL) = (claimed_at IS NULL)),
  CHECK (letter = 0 OR state = 'failed'),
  CHECK ((waiting_class IS NULL) = (waiting_since IS NULL))
) STRICT;
CREATE INDEX tasks_due ON tasks (lane, available_at) WHERE available_at IS NOT NULL;
CREATE INDEX tasks_claimed ON tasks (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX tasks_stalled ON tasks (waiting_since) WHERE waiting_since IS NOT NULL;

-- The tasks of one job for one host and one bucket that wait to be claimed.
CREATE TABLE lanes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL,
  host TEXT NOT NULL,
  bucket TEXT NOT NULL,
  waiting INTEGER NOT NULL CHECK (waiting >= 0),
  -- No task of the lane is due earlier.
  next_due INTEGER NOT NULL,
  UNIQUE (job, host, bucket)
) STRICT;
CREATE INDEX lanes_due ON lanes (next_due, id) WHERE waiting > 0;

-- The number of tasks in each state that is not final, which spares a count.
CREATE TABLE depth (
  state TEXT PRIMARY KEY CHECK (state IN ('pending', 'running', 'retrying')),
  tasks INTEGER NOT NULL CHECK (tasks >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO depth VALUES ('pending', 0), ('running', 0), ('retrying', 0);

-- The number of tasks that wait for each host, over all lanes of live jobs, which spares a count.
CREATE TABLE waits (
  host TEXT PRIMARY KEY,
  tasks INTEGER NOT NULL CHECK (tasks >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_by_size ON waits (tasks DESC, host);

-- Hosts (name and port) that are closed or slowed down. Times are of the steady clock, not the wall clock.
CREATE TABLE hosts (
  host TEXT PRIMARY KEY,
  closed_until INTEGER NOT NULL,
  failures INTEGER NOT NULL CHECK (failures >= 0),
  breaker_ms INTEGER NOT NULL CHECK (breaker_ms >= 0),
  breaker_until INTEGER NOT NULL,
  unavailable_since INTEGER,
  -- The limit of downloads at a time.
  bears REAL NOT NULL CHECK (bears > 0),
  slowed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Running and ended operations on all dead letters of a filter. The next start continues an interrupted one.
CREATE TABLE letter_operations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('replay', 'give_up')),
  state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'stopped', 'failed')),
  -- JSON objects. The overrides may hold secrets, and go when it ends.
  filter TEXT NOT NULL,
  overrides TEXT NOT NULL,
  rate_per_second REAL,
  -- Dead letters that matched at the start, those processed since, and those of them that were changed.
  matched INTEGER NOT NULL,
  met INTEGER NOT NULL DEFAULT 0,
  changed INTEGER NOT NULL DEFAULT 0,
  -- The order is downwards: dead letters with this task id or a higher one are done.
  before_task INTEGER NOT NULL,
  -- Start of the rate, by the steady clock.
  due_from INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  error TEXT,
  CHECK ((finished_at IS NULL) = (state = 'running'))
) STRICT;

CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  -- SHA-256 of job type and decoded body.
  fingerprint BLOB NOT NULL,
  -- The body of the first answer.
  answer TEXT NOT NULL,
  -- It may be gone before its key.
  job INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Uploads that would stay open or half made if the process died now.
CREATE TABLE uploads (
  task INTEGER NOT NULL,
  -- Settling a claim forgets its own uploads; those of an earlier one were left by a crash.
  claim_id INTEGER NOT NULL,
  bucket TEXT NOT NULL,
  key TEXT NOT NULL,
  upload_id TEXT NOT NULL,
  PRIMARY KEY (task, claim_id, upload_id)
) STRICT, WITHOUT ROWID;

-- Events that are not durable in every projection yet: one EventBatch message per commit.
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY,
  batch BLOB NOT NULL
) STRICT;

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('outbox_trimmed', '0'), ('paused', '0'), ('abandoned', '0'), ('last_seen', '0'), ('clock_trusted', '0'),
  -- The claimed tasks that workers have started, a JSON array: a claim may wait in memory for a while.
  ('begun', '[]'),
  -- The start of the pause, and the due time of the last scheduled replay.
  ('paused_at', '0'), ('paced_until', '0');
