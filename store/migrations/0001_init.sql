-- Times are integer milliseconds since 1970.
-- Words are checked by OR, since for IN with more than two of them SQLite
-- fills a temporary table at every insert, which takes longer than the insert.

-- Small facts by name.
CREATE TABLE note (
	name TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The users of our namespace: agents, and the service's own.
CREATE TABLE agent (
	user_id TEXT PRIMARY KEY,
	sender INTEGER NOT NULL CHECK (sender IN (0, 1)),
	declared INTEGER NOT NULL CHECK (declared IN (0, 1)),
	name TEXT,
	department TEXT,
	team TEXT,
	level TEXT,
	state TEXT NOT NULL CHECK (state = 'declared' OR state = 'registered'
		OR state = 'logged_in' OR state = 'handed_off'
		OR state = 'acknowledged' OR state = 'retired'
		OR state = 'blocked'),
	device_id TEXT,
	generation INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
	acked_generation INTEGER NOT NULL DEFAULT 0
		CHECK (acked_generation BETWEEN 0 AND generation),
	since_ms INTEGER NOT NULL,
	shown_name TEXT,
	error TEXT
) STRICT, WITHOUT ROWID;

-- What was handed over: the digest of a token, never a token.
CREATE TABLE handoff (
	user_id TEXT REFERENCES agent (user_id) ON DELETE CASCADE,
	generation INTEGER CHECK (generation > 0),
	token_sha256 TEXT NOT NULL CHECK (length(token_sha256) = 64),
	device_id TEXT NOT NULL,
	written_ms INTEGER NOT NULL,
	acked_ms INTEGER,
	acked_by TEXT,
	PRIMARY KEY (user_id, generation)
) STRICT, WITHOUT ROWID;

-- Rooms we care for: "#alias:server", or "@a:server @b:server" for two people.
CREATE TABLE room (
	key TEXT PRIMARY KEY,
	direct INTEGER NOT NULL CHECK (direct IN (0, 1)),
	declared INTEGER NOT NULL CHECK (declared IN (0, 1)),
	alias TEXT,
	room_id TEXT,
	maker TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX room_by_id ON room (room_id) WHERE room_id IS NOT NULL;

CREATE TABLE declared_member (
	room_key TEXT REFERENCES room (key) ON DELETE CASCADE,
	user_id TEXT,
	PRIMARY KEY (room_key, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX declared_member_by_user ON declared_member (user_id);

-- Who marked which room as direct in their account data.
CREATE TABLE direct_mark (
	room_id TEXT,
	user_id TEXT,
	PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

-- What is, for every user of every room we hear of. Other programs read it.
CREATE TABLE membership (
	room_id TEXT,
	user_id TEXT,
	membership TEXT NOT NULL CHECK (membership = 'invite'
		OR membership = 'join' OR membership = 'knock'
		OR membership = 'leave' OR membership = 'ban'),
	event_id TEXT,
	origin_ts INTEGER NOT NULL,
	source TEXT NOT NULL
		CHECK (source = 'event' OR source = 'poll' OR source = 'action'),
	PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

-- Content of the newest state event of a type (with an empty state key).
CREATE TABLE room_state (
	room_id TEXT,
	type TEXT,
	content TEXT NOT NULL,
	event_id TEXT,
	origin_ts INTEGER NOT NULL,
	PRIMARY KEY (room_id, type)
) STRICT, WITHOUT ROWID;

-- Steps of the plan. Ids are never used twice: who still works on a row that
-- was removed must not end another one. done_no counts what was done, in order.
CREATE TABLE journal (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	room TEXT,
	reason TEXT,
	state TEXT NOT NULL CHECK (state = 'waiting' OR state = 'running'
		OR state = 'failed' OR state = 'done'),
	attempt INTEGER NOT NULL DEFAULT 0,
	-- An attempt may have been done without our hearing of it.
	unsure INTEGER NOT NULL DEFAULT 0 CHECK (unsure = 0 OR unsure = 1),
	created_ms INTEGER NOT NULL,
	updated_ms INTEGER NOT NULL,
	next_attempt_ms INTEGER NOT NULL DEFAULT 0,
	error TEXT,
	done_no INTEGER CHECK ((state = 'done') = (done_no IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX journal_unfinished
	ON journal (kind, subject, coalesce(room, '')) WHERE state <> 'done';
CREATE UNIQUE INDEX journal_done
	ON journal (done_no) WHERE done_no IS NOT NULL;

-- The last transactions; seq counts them in the order of their arrival.
CREATE TABLE transaction_seen (
	txn_id TEXT PRIMARY KEY,
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	received_ms INTEGER NOT NULL,
	seq INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE transaction_count (
	only INTEGER PRIMARY KEY CHECK (only = 1),
	seen INTEGER NOT NULL,
	repeated INTEGER NOT NULL,
	events INTEGER NOT NULL,
	quarantined INTEGER NOT NULL,
	last_ms INTEGER NOT NULL
) STRICT;
INSERT INTO transaction_count VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE quarantine (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	txn_id TEXT NOT NULL,
	event_index INTEGER NOT NULL CHECK (event_index >= -1),
	reason TEXT NOT NULL,
	received_ms INTEGER NOT NULL,
	bytes TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	ms INTEGER NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	subject TEXT,
	detail TEXT
) STRICT;
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit
BEGIN
	SELECT raise(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN
	SELECT raise(ABORT, 'the audit log is append-only');
END;
