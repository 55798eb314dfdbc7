-- Start times of the attempts that a crash interrupted, a JSON array: the latest `crashes` of them count.
ALTER TABLE tasks ADD COLUMN crash_times TEXT NOT NULL DEFAULT '[]';
