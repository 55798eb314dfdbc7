-- When the attempts began that the process ended in, a JSON array: the latest `crashes` of them count.
ALTER TABLE tasks ADD COLUMN crash_times TEXT NOT NULL DEFAULT '[]';
