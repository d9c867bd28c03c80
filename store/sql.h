/*
 * store/sql.h: every statement of the store, X(name, text). All are prepared
 * when the store is opened, so that a mistake in one shows at once. Before
 * them stands what runs while it is being opened. Anything else in SQL is a
 * migration.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

/* clang-format off */

/* "mstr": says whose file it is (`file` shows it too). */
#define SQL_APPLICATION_ID 0x6d737472

#define SQL_IDENTITY                                                           \
	"SELECT (SELECT application_id FROM pragma_application_id), "          \
	"(SELECT user_version FROM pragma_user_version), "                     \
	"(SELECT count(*) FROM sqlite_schema)"
#define SQL_JOURNAL_MODE "PRAGMA journal_mode = WAL"
/* Of a new database. Rows are short and come at random: with them go fewer
 * bytes to the disk than in SQLite's pages of 4 KiB. */
#define SQL_PAGES "PRAGMA page_size = 1024"
#define SQL_PAGE_SIZE "SELECT page_size FROM pragma_page_size"
/* A commit is on disk when it returns; when there is a checkpoint says
 * keeper.c. The operating system keeps more of the file in memory than we
 * would. */
#define SQL_DURABLE                                                            \
	"PRAGMA synchronous = FULL;"                                           \
	"PRAGMA cache_size = -1024;"                                           \
	"PRAGMA journal_size_limit = 134217728;"
/* Between transactions: a commit is on the disk, or with the system alone. */
#define SQL_SYNC "PRAGMA synchronous = FULL"
#define SQL_NO_SYNC "PRAGMA synchronous = NORMAL"
#define SQL_FOREIGN_KEYS "PRAGMA foreign_keys = ON"
#define SQL_BACKUP "VACUUM INTO ?1"
/* On a network, and before the first access: nobody else has the file, so the
 * log's index is not in memory that is shared by way of another file. */
#define SQL_ALONE "PRAGMA locking_mode = EXCLUSIVE"
/* A copy is whole; and its log is in it. */
#define SQL_WHOLE "PRAGMA integrity_check(1)"
#define SQL_WRITE_BACK "PRAGMA wal_checkpoint(TRUNCATE)"
/* The migrations of a start stand between these, each with its stamp. */
#define SQL_MIGRATE "BEGIN IMMEDIATE"
#define SQL_STAMP "PRAGMA application_id = %d; PRAGMA user_version = %d"
#define SQL_MIGRATED "COMMIT"
#define SQL_UNDO "ROLLBACK"

/* Agents and rooms as rows; which of them is said after it. */
#define SQL_AGENTS                                                             \
	"SELECT a.user_id, sender, declared, name, department, team, "         \
	"level, a.state, a.device_id, a.generation, acked_generation, "          \
	"since_ms, shown_name, token_sha256, a.error, may_leave, written_ms, " \
	"acked_ms, acked_by, revoke_ms, revoke_why, rotate_every_ms, "         \
	"token_seen_ms, exposed_ms, r.state, run, at_once, answering, asked, " \
	"r.generation, why, state_ms, r.error, h.generation FROM agent AS a "  \
	"LEFT JOIN handoff AS h ON h.user_id = a.user_id "                     \
	"AND h.generation = (SELECT max(generation) FROM handoff "             \
	"WHERE user_id = a.user_id) "                                          \
	"LEFT JOIN rotation AS r ON r.user_id = a.user_id "
/* As the index rotation_open has it, in a query of it alone. */
#define SQL_ROTATION_OPEN                                                      \
	"(state = 'waiting' OR state = 'asked' OR state = 'clear' "            \
	"OR state = 'issued')"
#define SQL_AGENTS_ROTATED                                                     \
	"(SELECT user_id FROM rotation WHERE " SQL_ROTATION_OPEN ")"
#define SQL_ROOMS                                                              \
	"SELECT key, room_id, maker, rule, held, held_ms, missing_ms, "        \
	"direct, declared, wanted FROM room AS r "

/* Members of rooms: where they are is said before. */
#define SQL_MEMBERS                                                            \
	"SELECT k.key, u.id, m.membership, m.source, m.origin_ts "
#define SQL_OF_MEMBERS                                                         \
	" AS k CROSS JOIN identifier AS r ON r.id = k.room_id "                \
	"CROSS JOIN member AS m ON m.room = r.no "                             \
	"CROSS JOIN identifier AS u ON u.no = m.user "

#define SQL_TABLE(X)                                                           \
	X(READ, "BEGIN")                                                       \
	X(BEGIN, "BEGIN IMMEDIATE")                                            \
	X(COMMIT, "COMMIT")                                                    \
	X(ROLLBACK, "ROLLBACK")                                                \
	/* a homeserver that has forgotten everything */                       \
	X(FORGET_ROTATIONS, "DELETE FROM rotation")                            \
	X(FORGET_AGENTS,                                                       \
	  "UPDATE agent SET state = 'declared', shown_name = NULL, "           \
	  "error = NULL, since_ms = 0 WHERE state <> 'retired' "               \
	  "AND NOT (state = 'blocked' AND generation > 0)")                    \
	X(FORGET_ROOMS,                                                        \
	  "UPDATE room SET room_id = NULL, maker = NULL, missing_ms = 0, "     \
	  "held = NULL")                                                       \
	X(FORGET_OLD_ROOMS, "DELETE FROM old_room")                            \
	X(FORGET_REMOVALS, "DELETE FROM removal")                              \
	X(FORGET_MEMBERS, "DELETE FROM member")                                \
	X(FORGET_STATE, "DELETE FROM room_state")                              \
	X(FORGET_MARKS, "DELETE FROM direct_mark")                             \
	/* notes */                                                            \
	X(NOTE_GET, "SELECT value FROM note WHERE name = ?1")                  \
	X(NOTE_SET,                                                            \
	  "INSERT INTO note (name, value) VALUES (?1, ?2) "                    \
	  "ON CONFLICT DO UPDATE SET value = excluded.value")                  \
	X(NOTE_REMOVE, "DELETE FROM note WHERE name = ?1")                     \
	/* agents */                                                           \
	X(AGENT_DECLARE,                                                       \
	  "INSERT INTO agent (user_id, sender, declared, name, department, "   \
	  "team, level, state, since_ms) "                                     \
	  "VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, 'declared', ?7) "                \
	  "ON CONFLICT DO UPDATE SET sender = excluded.sender, "               \
	  "declared = 1, may_leave = 0, name = excluded.name, "                \
	  "department = excluded.department, "                                 \
	  "team = excluded.team, level = excluded.level, "                     \
	  "since_ms = iif(state = 'retired', excluded.since_ms, since_ms), "   \
	  "state = iif(state = 'retired', 'registered', state)")               \
	X(AGENT_FOUND,                                                         \
	  "INSERT INTO agent (user_id, sender, declared, name, department, "   \
	  "state, device_id, generation, since_ms) "                           \
	  "VALUES (?1, 0, 0, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING")  \
	X(AGENTS_UNDECLARE,                                                    \
	  "UPDATE agent SET declared = 0 WHERE declared = 1")                  \
	X(AGENT_STATE,                                                         \
	  "UPDATE agent SET state = ?2, error = NULL, "                        \
	  "since_ms = iif(state = ?2, since_ms, ?3) WHERE user_id = ?1")       \
	X(AGENT_MAY_LEAVE,                                                     \
	  "UPDATE agent SET may_leave = 1 WHERE user_id = ?1")                 \
	/* who was let go before, when nobody is on the way any more */         \
	X(LEAVERS_FORGET,                                                      \
	  "UPDATE agent SET may_leave = 0 WHERE may_leave = 1 "                \
	  "AND state = 'retired' AND NOT EXISTS (SELECT 1 FROM agent "         \
	  "WHERE may_leave = 1 AND declared = 0 AND state <> 'retired' "       \
	  "AND state <> 'declared')")                                          \
	X(AGENT_ERROR, "UPDATE agent SET error = ?2 WHERE user_id = ?1")       \
	X(AGENT_SHOWN_NAME,                                                    \
	  "UPDATE agent SET shown_name = ?2 WHERE user_id = ?1")               \
	X(AGENT_GENERATION, "SELECT generation FROM agent WHERE user_id = ?1") \
	X(AGENT_DEVICE,                                                        \
	  "UPDATE agent SET device_id = ?2, generation = ?3 "                  \
	  "WHERE user_id = ?1")                                                \
	X(AGENT_ACKED,                                                         \
	  "UPDATE agent SET acked_generation = max(acked_generation, ?2) "     \
	  "WHERE user_id = ?1")                                                \
	X(AGENT_ANSWERED,                                                      \
	  "UPDATE agent SET state = 'acknowledged', error = NULL, "            \
	  "since_ms = ?3 "                                                     \
	  "WHERE user_id = ?1 AND generation = ?2 AND state = 'handed_off'")   \
	X(HANDOFF_SET,                                                         \
	  "INSERT INTO handoff (user_id, generation, token_sha256, "           \
	  "device_id, written_ms) VALUES (?1, ?2, ?3, ?4, ?5) "                \
	  "ON CONFLICT DO UPDATE SET token_sha256 = excluded.token_sha256, "   \
	  "device_id = excluded.device_id, written_ms = excluded.written_ms")  \
	X(HANDOFF_ACKED,                                                       \
	  "UPDATE handoff SET acked_ms = ?3, acked_by = ?4 "                   \
	  "WHERE user_id = ?1 AND generation = ?2")                            \
	X(HANDOFF_REVOKED,                                                     \
	  "UPDATE handoff SET revoked_ms = ?2 "                                \
	  "WHERE user_id = ?1 AND revoked_ms IS NULL")                         \
	X(HANDOFF_TRIM,                                                        \
	  "DELETE FROM handoff WHERE user_id = ?1 AND generation <= ?2 - 16")  \
	X(AGENT_COUNT, "SELECT count(*) FROM agent")                           \
	X(AGENT_LIST, SQL_AGENTS "ORDER BY a.user_id")                         \
	X(AGENT_GET, SQL_AGENTS "WHERE a.user_id = ?1")                        \
	X(AGENTS_UNANSWERED,                                                   \
	  SQL_AGENTS "WHERE a.user_id IN (SELECT user_id FROM agent "          \
	  "WHERE declared = 1 AND state = 'handed_off') "                      \
	  "ORDER BY a.user_id")                                                \
	X(AGENT_NEXT,                                                          \
	  SQL_AGENTS "WHERE declared = 1 AND a.user_id > ?1 "                  \
	  "AND (a.state = 'handed_off' OR a.state = 'acknowledged') "          \
	  "ORDER BY a.user_id LIMIT 1")                                        \
	X(AGENT_REVOKE,                                                        \
	  "UPDATE agent SET revoke_ms = iif(revoke_ms = 0, ?2, revoke_ms), "   \
	  "revoke_why = ifnull(?3, revoke_why) WHERE user_id = ?1")            \
	X(AGENT_REVOKED,                                                       \
	  "UPDATE agent SET revoke_ms = 0, revoke_why = NULL "                 \
	  "WHERE user_id = ?1")                                                \
	X(AGENT_EVERY,                                                         \
	  "UPDATE agent SET rotate_every_ms = ?2 WHERE user_id = ?1")          \
	X(AGENTS_EVERY, "UPDATE agent SET rotate_every_ms = 0")                \
	X(AGENT_EXPOSED,                                                       \
	  "UPDATE agent SET exposed_ms = ?2 WHERE user_id = ?1")               \
	X(AGENT_TOKEN_SEEN,                                                    \
	  "UPDATE agent SET token_seen_ms = ?2 WHERE user_id = ?1")            \
	/* rotations */                                                        \
	X(ROTATION_WANT,                                                       \
	  "INSERT INTO rotation (user_id, run, state, at_once, why, state_ms) "\
	  "VALUES (?1, ?2, 'waiting', ?3, ?4, ?5) "                            \
	  "ON CONFLICT DO UPDATE SET run = excluded.run, "                     \
	  "state = excluded.state, at_once = excluded.at_once, "               \
	  "answering = 0, generation = 0, why = excluded.why, "                \
	  "state_ms = excluded.state_ms, error = NULL")                        \
	X(ROTATION_JOIN,                                                       \
	  "UPDATE rotation SET run = ?2, why = ifnull(?4, why) "               \
	  "WHERE user_id = ?1 "                                                \
	  "AND at_once >= ?3 AND " SQL_ROTATION_OPEN)                          \
	X(ROTATION_MOVE,                                                       \
	  "UPDATE rotation SET state = ?2, error = ?3, state_ms = ?4 "         \
	  "WHERE user_id = ?1 AND state = ?5 AND run = ?6")                    \
	X(ROTATION_ASK,                                                        \
	  "UPDATE rotation SET state = 'asked', answering = 1, asked = ?2, "   \
	  "state_ms = ?3 "                                                     \
	  "WHERE user_id = ?1 AND state = 'waiting' AND at_once = 0")          \
	X(ROTATION_AGAIN,                                                      \
	  "UPDATE rotation SET state = 'waiting', answering = 0, "             \
	  "state_ms = ?2 "                                                     \
	  "WHERE user_id = ?1 AND state = ?3 AND run = ?4")                    \
	X(ROTATION_LOGGED_IN,                                                  \
	  "UPDATE rotation SET "                                               \
	  "state = iif(" SQL_ROTATION_OPEN ", 'clear', 'done'), "              \
	  "generation = ?2, state_ms = ?3, error = NULL "                      \
	  "WHERE user_id = ?1 AND at_once <= ?4 "                              \
	  "AND state NOT IN ('done', 'unacknowledged')")                       \
	X(ROTATION_END, "DELETE FROM rotation WHERE user_id = ?1")             \
	X(ROTATION_ISSUED,                                                     \
	  "UPDATE rotation SET state = iif(answering = 1, 'issued', 'done'), " \
	  "generation = ?2, state_ms = ?3, error = NULL "                      \
	  "WHERE user_id = ?1 AND state = 'clear' "                            \
	  "AND generation BETWEEN 1 AND ?2")                                   \
	X(ROTATION_ANSWERED,                                                   \
	  "UPDATE rotation SET state = 'done', state_ms = ?3, error = NULL "   \
	  "WHERE user_id = ?1 AND generation = ?2 "                            \
	  "AND (state = 'issued' OR state = 'unacknowledged')")                \
	X(ROTATION_STOP,                                                       \
	  "UPDATE rotation SET state = 'stopped', error = ?2, state_ms = ?3 "  \
	  "WHERE run = ?1 AND state = 'waiting'")                              \
	X(ROTATION_LAST,                                                       \
	  "SELECT state FROM rotation WHERE run = ?1 AND answering = 1 "       \
	  "AND (state = 'done' OR state = 'unacknowledged') "                  \
	  "ORDER BY state_ms DESC, user_id DESC LIMIT 2")                      \
	X(ROTATIONS_OPEN,                                                      \
	  SQL_AGENTS "WHERE a.user_id IN " SQL_AGENTS_ROTATED                  \
	  " ORDER BY run, a.user_id")                                          \
	X(ROTATIONS_OF_RUN,                                                    \
	  SQL_AGENTS "WHERE a.user_id IN (SELECT user_id FROM rotation "       \
	  "WHERE run = ?1) ORDER BY a.user_id")                                \
	X(ROTATIONS_DUE,                                                       \
	  SQL_AGENTS "WHERE declared = 1 AND sender = 0 "                      \
	  "AND (a.state = 'handed_off' OR a.state = 'acknowledged') "          \
	  "AND iif(rotate_every_ms <> 0, rotate_every_ms, ?2) > 0 "            \
	  "AND written_ms + iif(rotate_every_ms <> 0, rotate_every_ms, ?2) "   \
	  "<= ?1 AND a.user_id NOT IN " SQL_AGENTS_ROTATED " "                 \
	  "AND (r.state IS NULL OR r.state = 'done' "                          \
	  "OR state_ms + 3600000 <= ?1) ORDER BY a.user_id")                   \
	/* rooms */                                                            \
	X(ROOM_DECLARE,                                                        \
	  "INSERT INTO room (key, direct, declared, alias, rule) "             \
	  "VALUES (?1, ?2, 1, iif(?2, NULL, ?1), ?3) "                         \
	  "ON CONFLICT DO UPDATE SET direct = excluded.direct, declared = 1, " \
	  "alias = excluded.alias, rule = excluded.rule "                      \
	  "WHERE declared = 0 OR rule IS NOT excluded.rule")                   \
	X(ROOMS_UNDECLARE, "UPDATE room SET declared = 0 WHERE declared = 1")  \
	X(ROOM_PLACE,                                                          \
	  "UPDATE room SET room_id = ?2, maker = ?3, looked_ms = ?4, "         \
	  "missing_ms = 0, held = NULL WHERE key = ?1")                        \
	X(ROOM_RENAME,                                                         \
	  "UPDATE room SET (room_id, maker, looked_ms, missing_ms) = "         \
	  "(SELECT room_id, maker, looked_ms, missing_ms FROM room "           \
	  "WHERE key = ?1), held = NULL WHERE key = ?2 AND room_id IS NULL "   \
	  "AND EXISTS (SELECT 1 FROM room "                                    \
	  "WHERE key = ?1 AND room_id IS NOT NULL)")                           \
	X(ROOM_UNRULE, "UPDATE room SET rule = NULL WHERE key = ?1")           \
	X(ROOM_PLACELESS,                                                      \
	  "UPDATE room SET room_id = NULL, maker = NULL WHERE key = ?1")       \
	X(ROOM_TO_OLD,                                                         \
	  "INSERT INTO old_room (room_id, key) SELECT room_id, key FROM room " \
	  "WHERE key = ?1 AND room_id <> ?2 ON CONFLICT DO NOTHING")           \
	X(OLD_ROOM_NOT, "DELETE FROM old_room WHERE room_id = ?1")             \
	X(OLD_ROOM_IS, "SELECT 1 FROM old_room WHERE room_id = ?1")            \
	X(OLD_ROOM_LIST, "SELECT room_id, key FROM old_room ORDER BY 1")       \
	X(OLD_MEMBER_LIST,                                                     \
	  "SELECT k.room_id, u.id, m.membership, m.source, m.origin_ts "       \
	  "FROM old_room" SQL_OF_MEMBERS "ORDER BY k.room_id")                 \
	X(ROOM_WANTED,                                                         \
	  "SELECT wanted FROM room "                                           \
	  "WHERE key = ?1 AND declared = 1 AND direct = 1")                    \
	X(ROOM_WANT, "UPDATE room SET wanted = 1 WHERE key = ?1")              \
	X(ROOM_LOOKED,                                                         \
	  "UPDATE room SET looked_ms = ?2, missing_ms = ?3 WHERE key = ?1")    \
	X(ROOM_HOLD,                                                           \
	  "UPDATE room SET held = ?2, held_ms = ?3 WHERE key = ?1 "            \
	  "AND held IS NOT ?2")                                                \
	X(ROOM_UNHOLD,                                                         \
	  "UPDATE room SET held = NULL WHERE room_id = ?1 "                    \
	  "AND held IS NOT NULL")                                              \
	X(ROOMS_UNLOOKED,                                                      \
	  SQL_ROOMS "WHERE direct = 1 AND room_id IS NOT NULL "                \
	  "AND declared = 1 AND looked_ms < ?1 ORDER BY looked_ms LIMIT ?2")   \
	X(ROOM_UNCONFIRMED,                                                    \
	  "SELECT 1 FROM member WHERE room = "                                 \
	  "(SELECT no FROM identifier WHERE id = ?1) "                         \
	  "AND source = 2 AND origin_ts < ?2 LIMIT 1")                         \
	/* who was removed */                                                  \
	X(REMOVAL_MATTERS,                                                     \
	  "SELECT 1 FROM room AS k CROSS JOIN declared_member AS d "           \
	  "ON d.room_key = k.key AND d.user_id = ?2 AND d.since_ms < ?4 "      \
	  "WHERE k.room_id = ?1 AND k.declared = 1 AND (?3 IS NULL OR EXISTS " \
	  "(SELECT 1 FROM agent WHERE user_id = ?2 AND sender = 0 "            \
	  "AND declared = 1)) "                                                \
	  "AND NOT EXISTS (SELECT 1 FROM agent WHERE user_id = ?3 "            \
	  "AND sender = 1)")                                                   \
	X(REMOVAL_KNOWN,                                                       \
	  "SELECT 1 FROM removal WHERE room_id = ?1 AND user_id = ?2 "         \
	  "AND event_id = ?3")                                                 \
	X(REMOVAL_IS_LOST,                                                     \
	  "SELECT 1 FROM removal AS k WHERE room_id = ?1 AND user_id = ?2 "    \
	  "AND event_id = ?3 AND EXISTS (SELECT 1 FROM membership "            \
	  "WHERE room_id = ?1 AND user_id = ?2 AND source = 'action' "         \
	  "AND (membership = 'invite' OR membership = 'join') "                \
	  "AND origin_ts <= ?4)")                                              \
	X(REMOVAL_TAKE,                                                        \
	  "UPDATE removal SET removed_by = ?3, ban = ?4, at_ms = ?5, "         \
	  "event_id = ?6 WHERE id = (SELECT max(id) FROM removal "             \
	  "WHERE room_id = ?1 AND user_id = ?2 AND removed_by IS NULL "        \
	  "AND at_ms >= ?5)")                                                  \
	X(REMOVAL_ADD,                                                         \
	  "INSERT INTO removal (room_id, user_id, removed_by, ban, at_ms, "    \
	  "event_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                         \
	X(REMOVAL_TRIM,                                                        \
	  "DELETE FROM removal WHERE room_id = ?1 AND user_id = ?2 "           \
	  "AND (at_ms, id) < (SELECT at_ms, id FROM removal "                  \
	  "WHERE room_id = ?1 AND user_id = ?2 "                               \
	  "ORDER BY at_ms DESC, id DESC LIMIT 1 OFFSET 1)")                    \
	X(REMOVAL_UNBAN,                                                       \
	  "DELETE FROM removal WHERE room_id = ?1 AND user_id = ?2 "           \
	  "AND ban = 1")                                                       \
	X(REMOVALS_FORGIVE, "DELETE FROM removal WHERE user_id = ?1")          \
	X(REMOVALS_ASK,                                                        \
	  "INSERT INTO removal (room_id, user_id, ban, asked, at_ms) "         \
	  "SELECT k.room_id, ?1, 1, 1, ?2 FROM declared_member AS d "          \
	  "CROSS JOIN room AS k ON k.key = d.room_key AND k.declared = 1 "     \
	  "CROSS JOIN identifier AS r ON r.id = k.room_id "                    \
	  "CROSS JOIN member AS m ON m.room = r.no AND m.user = "              \
	  "(SELECT no FROM identifier WHERE id = ?1) "                         \
	  "WHERE d.user_id = ?1 AND m.membership = 3")                         \
	X(REMOVAL_REFUSED,                                                     \
	  "UPDATE removal SET asked = 0 WHERE room_id = ?1 AND user_id = ?2")  \
	X(REMOVAL_LIST,                                                        \
	  "SELECT room_id, user_id, removed_by, ban, asked, at_ms "            \
	  "FROM removal ORDER BY room_id, user_id, at_ms, id")                 \
	X(ROOM_COUNT, "SELECT count(*) FROM room")                             \
	X(ROOM_LIST, SQL_ROOMS "ORDER BY key")                                 \
	X(ROOM_GET, SQL_ROOMS "WHERE key = ?1")                                \
	X(ROOM_BY_ID, SQL_ROOMS "WHERE r.room_id = ?1")                        \
	X(ROOM_HAS_KEY, "SELECT 1 FROM room WHERE room_id = ?1")               \
	X(DIRECT_ROOMS_OF,                                                     \
	  SQL_ROOMS "JOIN declared_member AS d ON d.room_key = key "           \
	  "WHERE d.user_id = ?1 AND direct = 1 AND declared = 1 "              \
	  "AND r.room_id IS NOT NULL ORDER BY key")                            \
	X(MEMBER_DECLARE,                                                      \
	  "INSERT INTO declared_member (room_key, user_id, since_ms) "         \
	  "VALUES (?1, ?2, ?3) "                                               \
	  "ON CONFLICT DO NOTHING")                                            \
	X(MEMBER_UNDECLARE,                                                    \
	  "DELETE FROM declared_member WHERE room_key = ?1 AND user_id = ?2")  \
	X(MEMBERS_UNDECLARE,                                                   \
	  "DELETE FROM declared_member WHERE room_key IN "                     \
	  "(SELECT key FROM room WHERE declared = 0)")                         \
	X(MEMBERS_OF,                                                          \
	  "SELECT user_id FROM declared_member WHERE room_key = ?1 "           \
	  "ORDER BY user_id")                                                  \
	X(MEMBER_COUNT,                                                        \
	  "SELECT count(*) FROM declared_member "                              \
	  "JOIN room ON key = room_key AND declared = 1")                      \
	X(MEMBER_LIST,                                                         \
	  "SELECT room_key, user_id FROM declared_member "                     \
	  "JOIN room ON key = room_key AND declared = 1 ORDER BY 1, 2")        \
	X(MARK_ADD,                                                            \
	  "INSERT INTO direct_mark (room_id, user_id) VALUES (?1, ?2) "        \
	  "ON CONFLICT DO NOTHING")                                            \
	X(MARK_LIST,                                                           \
	  "SELECT k.key, d.user_id FROM room AS k CROSS JOIN direct_mark "     \
	  "AS d ON d.room_id = k.room_id WHERE k.direct = 1 ORDER BY k.key")   \
	/* what is in them */                                                  \
	X(ID_GET, "SELECT no FROM identifier WHERE id = ?1")                   \
	X(ID_ADD, "INSERT INTO identifier (id) VALUES (?1)")                   \
	X(MEMBERSHIP_GET,                                                      \
	  "SELECT membership FROM member "                                     \
	  "WHERE room = ?1 AND user = ?2")                                     \
	X(MEMBERSHIP_SET,                                                      \
	  "INSERT INTO member (room, user, membership, event, origin_ts, "     \
	  "source) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "                           \
	  "ON CONFLICT DO UPDATE SET membership = excluded.membership, "       \
	  "event = excluded.event, origin_ts = excluded.origin_ts, "           \
	  "source = excluded.source "                                          \
	  /* events (source 0) by their time, see members.c */                 \
	  "WHERE CASE "                                                        \
	  "WHEN excluded.source = 0 AND source = 0 "                           \
	  "THEN excluded.origin_ts >= origin_ts "                              \
	  "AND NOT coalesce(event = excluded.event, 0) "                       \
	  "WHEN excluded.source = 0 "                                          \
	  "THEN excluded.origin_ts > origin_ts "                               \
	  "OR membership = excluded.membership OR event = excluded.event "     \
	  "OR (source = 1 AND membership = 0 AND event IS NULL "               \
	  "AND excluded.membership <> 1) "                                     \
	  "WHEN source = 0 AND membership = excluded.membership THEN 0 "       \
	  "ELSE excluded.origin_ts >= origin_ts OR origin_ts > ?7 END")        \
	X(MEMBERSHIP_OF,                                                       \
	  "SELECT membership FROM membership "                                 \
	  "WHERE room_id = ?1 AND user_id = ?2")                               \
	X(JOINED,                                                              \
	  "SELECT user_id FROM membership "                                    \
	  "WHERE room_id = ?1 AND membership = 'join' ORDER BY user_id")       \
	X(NOT_BY_EVENT,                                                        \
	  "SELECT user_id FROM membership WHERE room_id = ?1 "                 \
	  "AND source <> 'event' AND origin_ts <= ?2 ORDER BY user_id")        \
	X(MEMBERSHIP_REMOVE,                                                   \
	  "DELETE FROM member WHERE room = ?1 AND user = ?2")                  \
	X(MEMBERSHIP_COUNT,                                                    \
	  "SELECT count(*) FROM member WHERE room IN (SELECT no FROM room "    \
	  "JOIN identifier ON id = room_id)")                                  \
	X(MEMBERSHIP_LIST,                                                     \
	  SQL_MEMBERS "FROM room" SQL_OF_MEMBERS "ORDER BY k.key")             \
	X(STATE_GET,                                                           \
	  "SELECT content, origin_ts, event_id FROM room_state "               \
	  "WHERE room_id = ?1 AND type = ?2")                                  \
	X(STATE_OF_EVENT,                                                      \
	  "SELECT type, content, sender, origin_ts FROM room_state "           \
	  "WHERE room_id = ?1 AND event_id = ?2 AND redacted = 0")             \
	X(STATE_REDACT,                                                        \
	  "UPDATE room_state SET content = ?3, redacted = 1 "                  \
	  "WHERE room_id = ?1 AND type = ?2")                                  \
	X(STATE_SET,                                                           \
	  "INSERT INTO room_state (room_id, type, content, event_id, "         \
	  "origin_ts, sender) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "                \
	  "ON CONFLICT DO UPDATE SET content = excluded.content, "             \
	  "event_id = excluded.event_id, origin_ts = excluded.origin_ts, "     \
	  "sender = excluded.sender, redacted = 0")                            \
	X(STATE_LIST,                                                          \
	  "SELECT k.key, s.type, s.content, s.sender, s.origin_ts "            \
	  "FROM room AS k CROSS JOIN room_state AS s "                         \
	  "ON s.room_id = k.room_id "                                          \
	  "WHERE k.direct = 0 OR s.type = 'm.room.name' ORDER BY k.key")       \
	/* the journal */                                                      \
	X(STEP_FIND,                                                           \
	  "SELECT id, state, attempt, created_ms, updated_ms, "                \
	  "next_attempt_ms, error, reason, unsure OR state = 'running' "       \
	  "FROM journal "                                                      \
	  "WHERE kind = ?1 AND subject = ?2 "                                  \
	  "AND coalesce(room, '') = coalesce(?3, '') AND state <> 'done'")     \
	X(STEP_ADD,                                                            \
	  "INSERT INTO journal (kind, subject, room, reason, state, "          \
	  "created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, "    \
	  "?5)")                                                               \
	X(STEP_REASON, "UPDATE journal SET reason = ?2 WHERE id = ?1")         \
	/* What may have been done unheard, and would be done twice if that     \
	 * were forgotten, stays until it is its turn again. */                \
	X(STEPS_UNFINISHED,                                                    \
	  "SELECT id FROM journal WHERE state <> 'done' "                      \
	  "AND NOT ((unsure = 1 OR state = 'running') "                        \
	  "AND (kind = 'create_room' OR kind = 'register'))")                  \
	X(STEP_REMOVE, "DELETE FROM journal WHERE id = ?1")                    \
	X(STEP_START,                                                          \
	  "UPDATE journal SET unsure = unsure OR state = 'running', "          \
	  "state = 'running', attempt = attempt + 1, "                         \
	  "updated_ms = ?2 WHERE id = ?1 AND state <> 'done'")                 \
	X(STEP_FAILED,                                                         \
	  "UPDATE journal SET state = 'failed', error = ?2, "                  \
	  "next_attempt_ms = ?3, updated_ms = ?4, unsure = unsure OR ?5 "      \
	  "WHERE id = ?1 AND state <> 'done'")                                 \
	X(STEP_DONE,                                                           \
	  "UPDATE journal SET state = 'done', error = NULL, "                  \
	  "updated_ms = ?2, done_no = 1 + coalesce((SELECT max(done_no) "      \
	  "FROM journal "                                                      \
	  "WHERE done_no IS NOT NULL), 0) WHERE id = ?1 AND state <> 'done'")  \
	X(STEPS_TRIM,                                                          \
	  "DELETE FROM journal WHERE done_no <= (SELECT max(done_no) "         \
	  "FROM journal WHERE done_no IS NOT NULL) - 1000")                    \
	X(STEP_LIST,                                                           \
	  "SELECT id, kind, subject, room, reason, state, attempt, "           \
	  "created_ms, updated_ms, next_attempt_ms, error FROM journal "       \
	  "ORDER BY done_no IS NOT NULL, coalesce(done_no, id) DESC LIMIT ?1") \
	X(STEPS_OF_KIND_DONE,                                                  \
	  "SELECT id, kind, subject, room, reason, state, attempt, "           \
	  "created_ms, updated_ms, next_attempt_ms, error FROM journal "       \
	  "WHERE done_no IS NOT NULL AND kind = ?1 "                           \
	  "AND updated_ms BETWEEN ?2 AND ?3 ORDER BY done_no DESC")            \
	X(STEP_GET,                                                            \
	  "SELECT id, kind, subject, room, reason, state, attempt, "           \
	  "created_ms, updated_ms, next_attempt_ms, error FROM journal "       \
	  "WHERE id = ?1")                                                     \
	X(STEPS_HURRY,                                                         \
	  "UPDATE journal SET next_attempt_ms = ?4 "                           \
	  "WHERE state <> 'done' AND state = 'failed' "                        \
	  "AND (?1 = 0 OR id = ?1) AND (?2 IS NULL OR subject = ?2) "          \
	  "AND (?3 IS NULL OR room = ?3)")                                     \
	X(STEPS_HURRIED,                                                       \
	  "SELECT id, kind, subject, room, reason, state, attempt, "           \
	  "created_ms, updated_ms, next_attempt_ms, error FROM journal "       \
	  "WHERE state <> 'done' AND (next_attempt_ms = ?1 "                   \
	  "OR (state = 'failed' AND updated_ms >= ?1)) "                       \
	  "ORDER BY subject, kind, room")                                      \
	X(STEP_COUNTS,                                                         \
	  "SELECT count(*) FILTER (WHERE state <> 'failed'), "                 \
	  "count(*) FILTER (WHERE state = 'failed') "                          \
	  "FROM journal WHERE state <> 'done'")                                \
	/* transactions */                                                     \
	X(TXN_WINDOW,                                                          \
	  "SELECT seq, txn_id, digest FROM transaction_seen ORDER BY seq")     \
	X(TXN_ADD,                                                             \
	  "REPLACE INTO transaction_seen "                                     \
	  "(slot, seq, txn_id, digest, received_ms) "                          \
	  "VALUES (?1, ?2, ?3, ?4, ?5)")                                       \
	X(TXN_COUNT,                                                           \
	  "UPDATE transaction_count SET seen = seen + ?1, "                    \
	  "repeated = repeated + ?2, events = events + ?3, "                   \
	  "applied = applied + ?4, quarantined = quarantined + ?5, "           \
	  "ephemeral = ephemeral + ?6, to_device = to_device + ?7, "           \
	  "device_lists = device_lists + ?8, key_counts = key_counts + ?9, "   \
	  "refused = refused + ?10, last_ms = iif(?11 > 0, ?11, last_ms)")     \
	X(TXN_COUNTS,                                                          \
	  "SELECT seen, repeated, events, applied, quarantined, ephemeral, "   \
	  "to_device, device_lists, key_counts, refused, last_ms "             \
	  "FROM transaction_count")                                            \
	X(QUARANTINE_ADD,                                                      \
	  "INSERT INTO quarantine (txn_id, event_index, reason, "              \
	  "received_ms, partial, size, bytes) "                                \
	  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                               \
	X(QUARANTINE_TOTAL,                                                    \
	  "SELECT kept, bytes, dropped FROM quarantine_total")                 \
	X(QUARANTINE_DROP,                                                     \
	  "DELETE FROM quarantine WHERE id = "                                 \
	  "(SELECT min(id) FROM quarantine)")                                  \
	X(QUARANTINE_DROPPED,                                                  \
	  "UPDATE quarantine_total SET dropped = dropped + ?1 "                \
	  "WHERE only = 1")                                                    \
	X(QUARANTINE_LIST,                                                     \
	  "SELECT id, txn_id, event_index, bytes, reason, received_ms, "       \
	  "partial FROM quarantine ORDER BY id")                               \
	X(QUARANTINE_GET,                                                      \
	  "SELECT id, txn_id, event_index, bytes, reason, received_ms, "       \
	  "partial FROM quarantine WHERE id = ?1")                             \
	X(QUARANTINE_REASON, "UPDATE quarantine SET reason = ?2 WHERE id = ?1") \
	X(QUARANTINE_REMOVE, "DELETE FROM quarantine WHERE id = ?1")           \
	/* the audit log */                                                    \
	X(AUDIT_ADD,                                                           \
	  "INSERT INTO audit (ms, actor, action, subject, detail) "            \
	  "VALUES (?1, ?2, ?3, ?4, ?5)")                                       \
	X(AUDIT_LIST,                                                          \
	  "SELECT ms, actor, action, subject, detail FROM audit "              \
	  "ORDER BY id DESC LIMIT ?1")

/* clang-format on */

#endif
