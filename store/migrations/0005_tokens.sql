-- Tokens are exchanged while agents run, and taken away.

-- Since when an operator wants its tokens ended (0: nobody does), and why.
ALTER TABLE agent ADD COLUMN revoke_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN revoke_why TEXT;
-- A new token is wanted as often as this; 0: as of all agents, -1: never by
-- itself.
ALTER TABLE agent ADD COLUMN rotate_every_ms INTEGER NOT NULL DEFAULT 0;
-- Since when it is known that others could read its token's file (0: not).
ALTER TABLE agent ADD COLUMN exposed_ms INTEGER NOT NULL DEFAULT 0;
-- When the homeserver last knew its token.
ALTER TABLE agent ADD COLUMN token_seen_ms INTEGER NOT NULL DEFAULT 0;

CREATE INDEX agent_unanswered ON agent (user_id)
	WHERE declared = 1 AND state = 'handed_off';

-- A new token that somebody asked for, the last one of each agent. Those of one
-- run were asked for together. An agent that is "answering" is asked to pause
-- before, for the generation "asked", whose number is used up by that, and to
-- acknowledge after. "generation" is that of the login that was made for it.
CREATE TABLE rotation (
	user_id TEXT PRIMARY KEY REFERENCES agent (user_id) ON DELETE CASCADE,
	run INTEGER NOT NULL,
	state TEXT NOT NULL CHECK (state = 'waiting' OR state = 'asked'
		OR state = 'clear' OR state = 'issued' OR state = 'done'
		OR state = 'unanswered' OR state = 'unacknowledged'
		OR state = 'stopped' OR state = 'failed'),
	at_once INTEGER NOT NULL CHECK (at_once = 0 OR at_once = 1),
	answering INTEGER NOT NULL DEFAULT 0
		CHECK (answering = 0 OR answering = 1),
	asked INTEGER NOT NULL DEFAULT 0,
	generation INTEGER NOT NULL DEFAULT 0,
	why TEXT,
	state_ms INTEGER NOT NULL,
	error TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX rotation_run ON rotation (run);
CREATE INDEX rotation_open ON rotation (run, user_id) WHERE state = 'waiting'
	OR state = 'asked' OR state = 'clear' OR state = 'issued';
