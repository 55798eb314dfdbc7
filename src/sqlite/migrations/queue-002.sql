-- A fact of the attempts: one began the request that stores the object, or the process ended while it was claimed.
ALTER TABLE tasks RENAME COLUMN interrupted TO may_have_stored;
-- Which attempts were by such a failure was not written down.
UPDATE tasks SET may_have_stored = 1 WHERE available_at IS NOT NULL AND history IS NOT NULL;

-- Uploads and objects that ended attempts left, or may have left, in the storage.
CREATE TABLE orphans (
  id INTEGER PRIMARY KEY,
  task INTEGER NOT NULL,
  bucket TEXT NOT NULL,
  key TEXT NOT NULL,
  -- 'upload': an open upload; 'object': an object that a request may still store.
  kind TEXT NOT NULL CHECK (kind IN ('upload', 'object')),
  -- The id of the upload ('': whatever is open under the key), or the token that the object carries.
  name TEXT NOT NULL,
  -- Times are of the steady clock, not the wall clock.
  left_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  looks INTEGER NOT NULL DEFAULT 0 CHECK (looks >= 0),
  -- Looks in a row that failed.
  failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  UNIQUE (bucket, key, kind, name)
) STRICT;
CREATE INDEX orphans_due ON orphans (due_at);
CREATE INDEX orphans_by_task ON orphans (task);
