"use strict";
// @vector-im/matrix-bot-sdk's Appservice, with membership in SQLite. It asks
// its storage to note each transaction before it answers, so that one commit
// holds the events of a transaction and its id: --each has one commit for each
// event instead. What helps it is on: no log.
//
// Its encryption is a library that it fetches from elsewhere when installed;
// it is not used here, and something empty stands for it.

const Module = require("module");

const crypto = "@matrix-org/matrix-sdk-crypto-nodejs";
const nothing = new Proxy(function () {}, { get: () => nothing });
const load = Module._load;
Module._load = function (name, ...more) {
    return name === crypto ? nothing : load.call(this, name, ...more);
};

const each = process.argv[2] === "--each";
if (each)
    process.argv.splice(2, 1);

const {
    Appservice, LogLevel, LogService, MemoryStorageProvider,
} = require("@vector-im/matrix-bot-sdk");
const { Store, arguments: args } = require("./store.js");

const { port, token, path, server } = args();
const store = new Store(path);

class Storage extends MemoryStorageProvider {
    constructor() {
        super();
        store.db.exec(
            "CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY) " +
            "WITHOUT ROWID");
        this.add = store.db.prepare("INSERT INTO seen VALUES (?)");
        this.known = store.db.prepare("SELECT 1 FROM seen WHERE id = ?");
    }

    isTransactionCompleted(id) {
        return each ? super.isTransactionCompleted(id)
            : this.known.get(id) !== undefined;
    }

    setTransactionCompleted(id) {
        if (each) {
            super.setTransactionCompleted(id);
            return;
        }
        if (store.db.inTransaction) {
            this.add.run(id);
            store.commit.run();
        }
    }

    isUserRegistered() {
        return true;
    }
}

LogService.setLevel(LogLevel.ERROR);
const service = new Appservice({
    port, bindAddress: "127.0.0.1", homeserverName: server,
    homeserverUrl: "http://127.0.0.1:9", storage: new Storage(),
    registration: {
        id: "bench", as_token: "unused", hs_token: token,
        sender_localpart: "bench", url: "http://127.0.0.1:" + port,
        namespaces: {
            users: [{ exclusive: true, regex: "@agent-.*:" + server }],
            rooms: [], aliases: [],
        },
    },
});
service.on("room.event", (room, event) => {
    if (event.type !== "m.room.member")
        return;
    if (!each && !store.db.inTransaction)
        store.begin.run();
    store.set({ ...event, room_id: room });
});
service.begin();
