-- The storage proved no more of an object's copy than its size: integrity is then served as 'size'.
ALTER TABLE results ADD COLUMN proven_by_size INTEGER NOT NULL DEFAULT 0 CHECK (proven_by_size IN (0, 1));
