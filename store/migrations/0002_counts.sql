-- More of what transactions bring is counted. "applied" are events of which
-- something is kept; the others are no events: elements of the lists that a
-- transaction may have beside them.
ALTER TABLE transaction_count ADD COLUMN applied INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transaction_count ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transaction_count ADD COLUMN to_device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transaction_count ADD COLUMN device_lists INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transaction_count ADD COLUMN key_counts INTEGER NOT NULL DEFAULT 0;

-- "partial" rows hold not all that came, or not as it came: it was longer, or
-- no text. The size stands before the bytes, so that it is read without them.
CREATE TABLE quarantine_new (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	txn_id TEXT NOT NULL,
	event_index INTEGER NOT NULL CHECK (event_index >= -1),
	reason TEXT NOT NULL,
	received_ms INTEGER NOT NULL,
	partial INTEGER NOT NULL CHECK (partial = 0 OR partial = 1),
	size INTEGER NOT NULL,
	bytes TEXT NOT NULL
) STRICT;
INSERT INTO quarantine_new
	SELECT id, txn_id, event_index, reason, received_ms,
		length(CAST(bytes AS BLOB)) >= 65536 OR instr(bytes, '?') > 0,
		length(CAST(bytes AS BLOB)), bytes
	FROM quarantine ORDER BY id;
DROP TABLE quarantine;
ALTER TABLE quarantine_new RENAME TO quarantine;

-- How full it is, whoever adds or removes, and how many rows left because it
-- was full.
CREATE TABLE quarantine_total (
	only INTEGER PRIMARY KEY CHECK (only = 1),
	kept INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	dropped INTEGER NOT NULL
) STRICT;
INSERT INTO quarantine_total
	SELECT 1, count(*), coalesce(sum(size), 0), 0 FROM quarantine;
CREATE TRIGGER quarantine_in AFTER INSERT ON quarantine
BEGIN
	UPDATE quarantine_total SET kept = kept + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER quarantine_out AFTER DELETE ON quarantine
BEGIN
	UPDATE quarantine_total SET kept = kept - 1, bytes = bytes - old.size;
END;
