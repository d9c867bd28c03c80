-- Room and user ids of memberships, once each, and of an event's id a hash, by
-- which it is known again: a row of member is a sixth as long as it was, and
-- found by numbers. Which words the numbers of memberships and sources stand
-- for is said in the view, and in members.c.
CREATE TABLE identifier (
	no INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE member (
	room INTEGER,
	user INTEGER,
	membership INTEGER NOT NULL CHECK (membership BETWEEN 0 AND 4),
	event INTEGER,
	origin_ts INTEGER NOT NULL,
	source INTEGER NOT NULL CHECK (source BETWEEN 0 AND 2),
	PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

INSERT INTO identifier (id)
	SELECT room_id FROM membership UNION SELECT user_id FROM membership;
INSERT INTO member
	SELECT r.no, u.no,
		CASE membership WHEN 'leave' THEN 0 WHEN 'join' THEN 1
			WHEN 'invite' THEN 2 WHEN 'ban' THEN 3 ELSE 4 END,
		NULL, origin_ts,
		CASE source WHEN 'event' THEN 0 WHEN 'poll' THEN 1 ELSE 2 END
	FROM membership
	JOIN identifier AS r ON r.id = room_id
	JOIN identifier AS u ON u.id = user_id;
DROP TABLE membership;

-- Other programs read it.
CREATE VIEW membership AS
	SELECT r.id AS room_id, u.id AS user_id,
		CASE membership WHEN 0 THEN 'leave' WHEN 1 THEN 'join'
			WHEN 2 THEN 'invite' WHEN 3 THEN 'ban'
			ELSE 'knock' END AS membership,
		origin_ts,
		CASE source WHEN 0 THEN 'event' WHEN 1 THEN 'poll'
			ELSE 'action' END AS source
	FROM member
	JOIN identifier AS r ON r.no = room
	JOIN identifier AS u ON u.no = user;

-- What of a redacted event is left is its row still: it is not to come back.
ALTER TABLE room_state ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0
	CHECK (redacted = 0 OR redacted = 1);

-- Transactions that were refused, by those who count them.
ALTER TABLE transaction_count ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;

-- A ring: a new transaction takes the place of the oldest. seq counts them.
CREATE TABLE seen (
	slot INTEGER PRIMARY KEY,
	seq INTEGER NOT NULL,
	txn_id TEXT NOT NULL,
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	received_ms INTEGER NOT NULL
) STRICT;
INSERT INTO seen
	SELECT seq % 10000, seq, txn_id, digest, received_ms
	FROM transaction_seen
	WHERE seq > (SELECT max(seq) FROM transaction_seen) - 10000;
DROP TABLE transaction_seen;
ALTER TABLE seen RENAME TO transaction_seen;
