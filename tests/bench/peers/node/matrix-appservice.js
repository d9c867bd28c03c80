"use strict";
// matrix-appservice, with membership in SQLite. It emits the events one after
// the other and answers without looking back: a listener has no moment before
// the answer at which all of them have come, so each event is a commit of its
// own. What helps it is on: no log.

const { AppService } = require("matrix-appservice");
const { Store, arguments: args } = require("./store.js");

const { port, token, path } = args();
const store = new Store(path);
const service = new AppService({ homeserverToken: token });
service.on("type:m.room.member", event => store.set(event));
service.listen(port, "127.0.0.1");
