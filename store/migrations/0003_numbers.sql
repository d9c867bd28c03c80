-- Room and user ids of memberships, once each, and of an event's id a hash, by
-- which it is known again: a row of member is a quarter as long as it was, and
-- found by numbers.
CREATE TABLE identifier (
	no INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE member (
	room INTEGER,
	user INTEGER,
	membership TEXT NOT NULL CHECK (membership = 'join'
		OR membership = 'invite' OR membership = 'leave'
		OR membership = 'ban' OR membership = 'knock'),
	event INTEGER,
	origin_ts INTEGER NOT NULL,
	source TEXT NOT NULL
		CHECK (source = 'event' OR source = 'poll' OR source = 'action'),
	PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

INSERT INTO identifier (id)
	SELECT room_id FROM membership UNION SELECT user_id FROM membership;
INSERT INTO member
	SELECT r.no, u.no, membership, NULL, origin_ts, source
	FROM membership
	JOIN identifier AS r ON r.id = room_id
	JOIN identifier AS u ON u.id = user_id;
DROP TABLE membership;

-- Other programs read it.
CREATE VIEW membership AS
	SELECT r.id AS room_id, u.id AS user_id,
		membership, origin_ts, source
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
