"use strict";
// Membership in SQLite as the peers on Node keep it: WAL, synchronous=FULL,
// one prepared upsert.

const fs = require("fs");
const Database = require("better-sqlite3");

exports.arguments = function () {
    if (process.argv.length !== 6) {
        console.error("usage: PEER.js PORT TOKEN-FILE STORE SERVER-NAME");
        process.exit(2);
    }
    const [port, tokenFile, path, server] = process.argv.slice(2);
    return {
        port: Number(port),
        token: fs.readFileSync(tokenFile, "utf8").trim(),
        path, server,
    };
};

exports.Store = class {
    constructor(path) {
        this.db = new Database(path);
        this.db.pragma("journal_mode = WAL");
        this.db.pragma("synchronous = FULL");
        this.db.exec("CREATE TABLE IF NOT EXISTS membership (" +
            "room_id TEXT, user_id TEXT, membership TEXT NOT NULL, " +
            "PRIMARY KEY (room_id, user_id)) WITHOUT ROWID");
        this.upsert = this.db.prepare(
            "INSERT INTO membership VALUES (?, ?, ?) " +
            "ON CONFLICT (room_id, user_id) " +
            "DO UPDATE SET membership = excluded.membership");
        this.begin = this.db.prepare("BEGIN IMMEDIATE");
        this.commit = this.db.prepare("COMMIT");
    }

    set(event) {
        this.upsert.run(
            event.room_id, event.state_key, event.content.membership);
    }
};
