-- The codings that the origin served an object in; NULL: none, or stored before this column.
ALTER TABLE results ADD COLUMN content_encoding TEXT;
