// mautrix-go's appservice package with its own sqlstatestore, which writes
// each membership before the answer: in WAL, with synchronous=FULL, in one
// commit for each event, since the package gives the store a context of its
// own and no moment between the last event and the answer.
//
//	mautrix PORT TOKEN-FILE STORE SERVER-NAME
//
// What helps it is on: no log, no look for names that look alike, statements
// kept prepared, one connection.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	_ "github.com/mattn/go-sqlite3"
	"go.mau.fi/util/dbutil"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/sqlstatestore"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mautrix:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr,
			"usage: mautrix PORT TOKEN-FILE STORE SERVER-NAME")
		os.Exit(2)
	}
	port, err := strconv.ParseUint(os.Args[1], 10, 16)
	must(err)
	token, err := os.ReadFile(os.Args[2])
	must(err)

	ctx := context.Background()
	db, err := dbutil.NewWithDialect("file:"+os.Args[3]+
		"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate"+
		"&_busy_timeout=5000&_stmt_cache_size=64", "sqlite3")
	must(err)
	db.RawDB.SetMaxOpenConns(1)
	store := sqlstatestore.NewSQLStateStore(db, nil, false)
	store.DisableNameDisambiguation = true
	must(store.Upgrade(ctx))

	as, err := appservice.CreateFull(appservice.CreateOpts{
		Registration: &appservice.Registration{
			ID:              "bench",
			AppToken:        "unused",
			ServerToken:     strings.TrimSpace(string(token)),
			SenderLocalpart: "bench",
		},
		HomeserverDomain: os.Args[4],
		HomeserverURL:    "http://127.0.0.1:9",
		HostConfig: appservice.HostConfig{
			Hostname: "127.0.0.1", Port: uint16(port)},
		StateStore: store,
	})
	must(err)
	// Takes the events off their channel; nobody handles them.
	appservice.NewEventProcessor(as).Start(ctx)
	as.Start()
}
