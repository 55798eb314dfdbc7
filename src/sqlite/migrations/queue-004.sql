-- The name of the token that started an operation; NULL: it had no name, or the operation is older than this column.
ALTER TABLE letter_operations ADD COLUMN started_by TEXT;
