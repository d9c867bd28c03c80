-- People interfere, leave and come back, and rooms go and are upgraded.

-- An agent that is declared no longer may leave without being asked for again.
ALTER TABLE agent ADD COLUMN may_leave INTEGER NOT NULL DEFAULT 0
	CHECK (may_leave = 0 OR may_leave = 1);
ALTER TABLE handoff ADD COLUMN revoked_ms INTEGER;

-- The alias as the policy has it: what the room is for, whatever a team is
-- called.
ALTER TABLE room ADD COLUMN rule TEXT;
-- A direct room that somebody asked for.
ALTER TABLE room ADD COLUMN wanted INTEGER NOT NULL DEFAULT 0
	CHECK (wanted = 0 OR wanted = 1);
-- When it was last looked at, and since when looks do not find it (0: they do).
ALTER TABLE room ADD COLUMN looked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN missing_ms INTEGER NOT NULL DEFAULT 0;
-- Why nothing can be done about it.
ALTER TABLE room ADD COLUMN held TEXT;
ALTER TABLE room ADD COLUMN held_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX room_looked ON room (looked_ms)
	WHERE direct = 1 AND room_id IS NOT NULL;

-- Rooms that another one has taken the place of: to be left.
CREATE TABLE old_room (
	room_id TEXT PRIMARY KEY,
	key TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Since when somebody is declared in a room: what was before does not count.
ALTER TABLE declared_member ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;

-- Who took an agent out of a declared room: of each the last two. removed_by
-- NULL: a look did not find it there. asked: an operator wants it back.
CREATE TABLE removal (
	id INTEGER PRIMARY KEY,
	room_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	removed_by TEXT,
	ban INTEGER NOT NULL CHECK (ban = 0 OR ban = 1),
	asked INTEGER NOT NULL DEFAULT 0 CHECK (asked = 0 OR asked = 1),
	at_ms INTEGER NOT NULL,
	event_id TEXT
) STRICT;
CREATE UNIQUE INDEX removal_of ON removal (room_id, user_id, at_ms, id);
CREATE INDEX removal_by_user ON removal (user_id);

ALTER TABLE room_state ADD COLUMN sender TEXT;
