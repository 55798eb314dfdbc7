-- Jobs are found by the key that they were submitted under, of one tenant or of all.
CREATE INDEX idempotency_by_key ON idempotency (key);
