-- The number of visible jobs in each status, which spares a count. The triggers keep it in every transaction.
CREATE TABLE job_counts (
  status TEXT PRIMARY KEY,
  jobs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO job_counts
  SELECT s.value, (SELECT count(*) FROM jobs j WHERE j.status = s.value AND j.pruning = 0)
  FROM json_each('["queued", "in_progress", "completed", "partial", "failed", "cancelled"]') s;
CREATE TRIGGER job_counts_insert AFTER INSERT ON jobs WHEN new.pruning = 0 BEGIN
  UPDATE job_counts SET jobs = jobs + 1 WHERE status = new.status;
END;
CREATE TRIGGER job_counts_update AFTER UPDATE OF status, pruning ON jobs
  WHEN new.status <> old.status OR new.pruning <> old.pruning BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE status = old.status AND old.pruning = 0;
  UPDATE job_counts SET jobs = jobs + 1 WHERE status = new.status AND new.pruning = 0;
END;
CREATE TRIGGER job_counts_delete AFTER DELETE ON jobs WHEN old.pruning = 0 BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE status = old.status;
END;
