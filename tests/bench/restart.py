"""A start with nothing to do, in an organisation of a thousand whose direct
rooms are all there; then somebody moves to another team.

The accounts and the rooms of the policy are made once, on a scripted
homeserver. The direct rooms are written into the store by tests/bench/plan:
for them the homeserver is not asked anything."""

import collections
import json
import os
import shutil
import time

import organisation
import planning
from provision import Failed, Homeserver, Making
from service import age
from support.fleet import Declared
from support.process import wait_until

SERVER = "fleet.example"


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return {name: int(fields[name].split()[0]) * 1024
            for name in ("RssAnon", "RssFile", "VmHWM")}


class Restart:
    def __init__(self, program, folder, org):
        self.program = program
        self.folder = os.path.join(folder, "restart")
        self.org = org
        self.making = Making(self.folder, self.org)
        self.muster = self.making.muster
        self.hs = None

    def make(self):
        self.hs = Homeserver(
            "scripted", self.folder, self.muster.registration_path)
        self.making.make(self.hs.hs, 600)
        self.hs.hs.wait_quiet()  # it is told all that happened
        self.muster.stop()
        planning.run(self.program, self.muster.path("muster.yaml"),
                     "--fill", "direct", "--times", 1)
        self.muster.write_config(direct={"create": "eager"})

    def start(self):
        """From exec to nothing to do: our own processor time, memory, and
        what was asked for."""
        hs = self.hs.hs
        hs.wait_quiet()
        hs.clear_log()
        self.making.forget_log()
        age(self.muster)
        began = time.time()
        self.muster.start(ready=False)
        ended = self.making.daemon.wait_for(
            self.making.declared_at, 300, "there is nothing to do")
        cpu = self.making.cpu_seconds()
        memory = status(self.making.pid)
        hs.wait_quiet()
        later = status(self.making.pid)
        asked = hs.requests
        return {
            "seconds": ended - began, "cpu_s": cpu,
            "private": memory["RssAnon"], "private_later": later["RssAnon"],
            # The most that was resident, less what is no anonymous memory.
            "private_peak": later["VmHWM"] - later["RssFile"],
            "resident_peak": later["VmHWM"],
            "writes": sum(r.write is not None for r in asked),
            "reads": sum(r.write is None for r in asked)}

    def declared(self):
        """What is to be, worked out by the words of the policy."""
        people = self.muster.org["people"]
        return Declared(SERVER, people, everybody=people)

    def expected(self, before, after, who):
        """The steps of one who moves, by kind, subject and room: out of rooms
        and into rooms; a room with each new neighbour, marked by both."""
        steps = collections.Counter()
        for alias, members in after.rooms.items():
            if who in members - before.rooms.get(alias, set()):
                steps["invite", who, alias] += 1
                steps["join", who, alias] += 1
        for alias, members in before.rooms.items():
            if who in members - after.rooms.get(alias, set()):
                steps["leave", who, alias] += 1
        marked = set()
        for pair in after.pairs - before.pairs:
            assert who in pair, pair
            key = " ".join(sorted(pair))
            other, = pair - {who}
            steps["create_room", key, key] += 1
            # The first of the two makes it, and the second joins.
            steps["join", max(pair) if other not in after.humans else who,
                  key] += other not in after.humans
            marked |= pair - after.humans
        for user in marked:
            steps["direct_mark", user, ""] += 1
        return +steps

    def plan_of(self, org):
        """What would be done for these files, in a copy of everything: the
        program declares what it reads. The service does not run."""
        path = os.path.join(self.folder, "copy")
        shutil.copytree(self.muster.dir, path)
        with open(os.path.join(path, "org.json"), "w", encoding="utf-8") as f:
            json.dump(org, f)
        done = planning.run(self.program, os.path.join(path, "muster.yaml"),
                            "--steps")
        shutil.rmtree(path)
        return done

    def move(self):
        """Somebody goes to another team while the service runs: what is
        planned, and what is done."""
        hs, before = self.hs.hs, self.declared()
        org, who = organisation.moved(self.org)
        planned = self.plan_of(org)
        steps = collections.Counter(map(tuple, planned.pop("steps")))
        self.start()
        hs.clear_log()
        cpu = self.making.cpu_seconds()
        began = time.monotonic()
        self.muster.write_org(org)
        wanted = self.expected(before, self.declared(), who)
        wait_until(lambda: len(hs.writes()) >= len(list(wanted.elements())),
                   120, "all steps of one who moves")
        last = max(r.ended or r.started for r in hs.writes())
        hs.wait_quiet()
        cpu = self.making.cpu_seconds() - cpu
        self.muster.wait_settled()
        return {
            **planned, "who": who, "seconds": last - began, "cpu_s": cpu,
            "kinds": collections.Counter(
                kind for kind, _, _ in steps.elements()),
            "missing": sorted(map(list, (wanted - steps).elements())),
            "more": sorted(map(list, (steps - wanted).elements())),
            "wanted": len(list(wanted.elements())),
            "writes": len(hs.writes())}

    def close(self):
        try:
            self.making.close()
        finally:
            if self.hs:
                self.hs.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def measure(program, folder, rounds, say, org=None):
    restart = Restart(program, folder,
                      org or organisation.reference(SERVER))
    try:
        restart.make()
        whole = restart.plan_of(restart.org)
        if whole.pop("steps"):
            raise Failed("there is something to do before anything changed")
        runs = []
        for _ in range(rounds):
            runs.append(restart.start())
            restart.muster.stop()
            say(f"restart, {whole['pairs']} direct rooms: {runs[-1]}")
        moved = restart.move()
        say(f"one moves: {moved}")
        if moved["missing"] or moved["more"] or (
                moved["writes"] != moved["wanted"]):
            raise Failed("something else is done for one who moves")
        return {"whole": whole, "runs": runs, "move": moved}
    finally:
        restart.close()
