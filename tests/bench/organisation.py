"""Organisations of any size to measure with, in the form of org.json.

REFERENCE has the numbers of the fleet that muster is made for: 1,001 people in
9 departments and 28 teams, of which 22,163 pairs have a direct room."""

import json
import os

# The sizes of the teams of each department.
REFERENCE = [
    [73, 73, 73, 73, 57], [52, 49, 49, 49], [29, 25, 25], [29, 25, 25],
    [25, 25, 25, 24], [25, 25, 19], [25, 24], [20, 19], [16, 13]]


def split(total, parts):
    """total as evenly as it goes, the larger parts first."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def even(people, departments, teams):
    """Sizes for so many people in all, as many teams in each department."""
    sizes = split(people - 1 - departments, departments * teams)
    return [sizes[i::departments] for i in range(departments)]


class _People:
    def __init__(self, server):
        self.server = server
        self.all = []

    def add(self, level, department, team, boss):
        number = len(self.all)
        who = {
            "name": f"Person {number:05}", "title": level, "level": level,
            "department": department, "team": team,
            "matrixId": f"@person.{number:05}:{self.server}",
            "reportsTo": boss and boss["matrixId"], "directReports": []}
        if boss:
            boss["directReports"].append(who["matrixId"])
        self.all.append(who)
        return who

    def add_team(self, size, department, team, vp):
        director = self.add("Director", department, team, vp)
        managers = max(1, (size - 1) // 6)
        for below in split(size - 1 - managers, managers):
            manager = self.add("Manager", department, team, director)
            for _ in range(below):
                self.add("IC", department, team, manager)


def make(server, departments):
    """A chief, who is a human, and for each department its head and teams: a
    director, managers, and those who report to them."""
    people = _People(server)
    chief = people.add("CEO", "Executive", None, None)
    for d, teams in enumerate(departments, 1):
        name = f"Department {d}"
        vp = people.add("VP", name, None, chief)
        for t, size in enumerate(teams, 1):
            people.add_team(size, name, f"Team {d}.{t}", vp)
    return {"departments": [], "people": people.all}


def first(organisation, agents):
    """So many of its agents, from above, so that nobody's manager is missing;
    and the chief."""
    order = ["CEO", "VP", "Director", "Manager", "IC"]
    chosen = sorted(organisation["people"],
                    key=lambda p: order.index(p["level"]))[:agents + 1]
    ids = {p["matrixId"] for p in chosen}
    return {"departments": [], "people": [
        {**p, "directReports": [r for r in p["directReports"] if r in ids]}
        for p in chosen]}


def reference(server):
    """That of the files which MUSTER_FIXTURES names, on this server, or one
    with its numbers."""
    folder = os.environ.get("MUSTER_FIXTURES")
    if not folder:
        return make(server, REFERENCE)
    with open(os.path.join(folder, "org.json"), encoding="utf-8") as f:
        text = f.read()
    there = json.loads(text)["people"][0]["matrixId"].partition(":")[2]
    return json.loads(text.replace(f":{there}\"", f":{server}\""))


def moved(organisation):
    """(organisation, who): somebody to whom nobody reports goes to another
    team of the department, and reports to whom somebody there reports."""
    people = json.loads(json.dumps(organisation["people"]))
    who = next(p for p in people if p["team"] and not p["directReports"])
    there = next(p for p in reversed(people)
                 if p["team"] not in (None, who["team"])
                 and p["department"] == who["department"])
    for p in people:
        if p["matrixId"] == who["reportsTo"]:
            p["directReports"].remove(who["matrixId"])
        if p["matrixId"] == there["reportsTo"]:
            p["directReports"].append(who["matrixId"])
    who.update(reportsTo=there["reportsTo"], team=there["team"])
    return {**organisation, "people": people}, who["matrixId"]
