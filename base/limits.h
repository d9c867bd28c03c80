/*
 * base/limits.h: every cap of the program and its reason, in one place.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Synapse batches 100 events, 100 EDUs and 100 to-device messages of 64 KiB. */
#define LIMIT_TRANSACTION (32 * MIB)
/* Elements of its `events`; homeservers send at most 100. */
#define LIMIT_EVENTS 200000
/* What is kept of an event that could not be used, and the content of a room's
 * state: an event has at most 64 KiB. */
#define LIMIT_EVENT (64 * KIB)
/* The text of such a content, of which a document is made: spaces, and escapes of
 * what is no ASCII, make three times as much of it. */
#define LIMIT_CONTENT_TEXT (4 * LIMIT_EVENT)
/* Events kept aside of one transaction: as many as the store keeps in all. */
#define LIMIT_QUARANTINE 1000
/* The bytes of all that is kept aside: 250 of the largest, and not 64 MiB of
 * what nobody may ever look at. */
#define LIMIT_QUARANTINE_BYTES (16 * MIB)
/* Bodies of every other route we serve: a ping, a few names. */
#define LIMIT_SMALL_BODY (64 * KIB)
/* What we print to one client: rooms of ten thousand people. */
#define LIMIT_DOCUMENT (256 * MIB)
/* An answer of the homeserver: /members of a large room. */
#define LIMIT_ANSWER (64 * MIB)
/* A request to the homeserver that we build; an event is at most 64 KiB. */
#define LIMIT_REQUEST (1 * MIB)
/* An organisation of ten thousand is 4 MiB. */
#define LIMIT_ORG_FILE (64 * MIB)
#define LIMIT_CONFIG_FILE (4 * MIB)
/* Registration files hold one alternation of every id: 40 bytes a person. */
#define LIMIT_REGISTRATION_FILE (4 * MIB)
/* A hand-off file is under 1 KiB; a stranger's file may be anything. */
#define LIMIT_HANDOFF_FILE (16 * KIB)
/* Names in a directory of the hand-off: an agent's has ten, the root a
 * department each; who can write there can make any number. */
#define LIMIT_HANDOFF_NAMES 100000
/* Names beside a file among which those are looked for that a killed writer has
 * left: it may be /tmp. */
#define LIMIT_CLEANED_NAMES 100000
/* Names below the root of the hand-off that are looked at: for 10,000 people
 * with what they leave behind. */
#define LIMIT_HANDOFF_PLACES 200000
/* A password or token in a file. */
#define LIMIT_SECRET_FILE (16 * KIB)
/* Identifiers: Matrix says 255 bytes with sigil and server. */
#define LIMIT_ID 255
/* Characters of a person's name: Synapse takes no longer display name. */
#define LIMIT_NAME 256
/* JSON nesting; Matrix events are flat. */
#define LIMIT_JSON_DEPTH 64
/* Values in one document: json-c makes 800 bytes of an empty object. An
 * organisation of ten thousand has 200,000, a full transaction 20,000. */
#define LIMIT_JSON_VALUES 2000000

#endif
