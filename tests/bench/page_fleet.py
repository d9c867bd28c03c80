"""The parts of docs/performance.md about a fleet: making it, starting again,
and the plan."""

import statistics

from tables import number, table

NAMES = {"conduit": "Conduit", "synapse": "Synapse"}


def percent(part):
    return f"{100 * part:.0f} %"


def megabytes(n):
    return f"{n / 1e6:.1f} MB"


def where(result, kind):
    return NAMES[result["manner"]] if kind == "real" else "scripted"


def homeservers(result):
    return [kind for kind in ("real", "scripted") if kind in result]


def part(runs, ours, bare):
    """Of the bare loop's rate, in the median round; they took turns."""
    return statistics.median(
        run[bare[0]][bare[1]] / run["muster"][ours] for run in runs)


def tokens_part(runs):
    return part(runs, "tokens_s", ("tokens", "accounts_s"))


def all_part(runs):
    return part(runs, "seconds", ("all", "seconds"))


def _median(runs, who, key):
    return statistics.median(run[who][key] for run in runs)


def tokens_table(provision):
    rows = []
    for result in provision:
        for kind in homeservers(result):
            runs, n = result[kind], result["agents"]
            rows.append([
                f"{number(n)} agents, {where(result, kind)}",
                f"{_median(runs, 'muster', 'first_token_s'):.2f}",
                f"{_median(runs, 'muster', 'tokens_s'):.2f}",
                number(n / _median(runs, "muster", "tokens_s")),
                number(n / _median(runs, "tokens", "accounts_s")),
                percent(tokens_part(runs))])
    return table(["", "first s", "last s", "agents/s", "bare agents/s", "part"],
                 rows)


def all_table(provision):
    rows = []
    for result in provision:
        for kind in homeservers(result):
            runs = result[kind]
            sent = _median(runs, "muster", "requests")
            ours = _median(runs, "muster", "seconds")
            bare = _median(runs, "all", "seconds")
            rows.append([
                f"{number(result['agents'])} agents, {where(result, kind)}",
                f"{ours:.2f}", number(sent),
                number(_median(runs, "all", "requests") / ours),
                number(_median(runs, "all", "requests") / bare),
                percent(all_part(runs)),
                f"{_median(runs, 'muster', 'cpu_s'):.2f}",
                f"{_median(runs, 'all', 'cpu_s'):.2f}"])
    return table(["", "s", "requests", "requests/s", "bare requests/s", "part",
                  "CPU s", "bare CPU s"], rows)


def counts_table(provision):
    return table(
        ["agents", "memberships", "rooms", "requests an agent",
         "a membership", "a room", "others"],
        [[number(r["agents"]), number(r["memberships"]), number(r["rooms"]),
          f"{r['counts']['an_agent']:.2f}",
          f"{r['counts']['a_membership']:.2f}",
          f"{r['counts']['a_room']:.2f}", number(r["counts"]["others"])]
         for r in provision])


def restart_table(restart):
    runs = restart["runs"]
    move = restart["move"]

    def both(key):
        return [run[key] for run in runs]
    return table(["", ""], [
        ["until nothing is to do",
         f"{statistics.median(both('seconds')):.2f} s"],
        ["of it our own processor time",
         f"{statistics.median(both('cpu_s')):.2f} s"],
        ["private memory then", megabytes(max(both("private_later")))],
        ["private memory at most", megabytes(max(both("private_peak")))],
        ["writes", number(max(both("writes")))],
        ["reads", number(max(both("reads")))],
        ["one who moves: the store read", f"{move['snapshot_ms']:.1f} ms"],
        ["– planned", f"{move['plan_ms']:.1f} ms"],
        ["– steps", number(move["n_steps"])],
        ["– of them of somebody else, or missing",
         number(len(move["more"]) + len(move["missing"]))],
        ["– from the file to the last answer", f"{move['seconds']:.2f} s"],
        ["– our own processor time", f"{move['cpu_s']:.2f} s"]])


def plan_table(plans):
    rows = []
    for plan in plans:
        for state, said in (("nothing", "from nothing"),
                            ("present", "all present")):
            got = plan[state]
            rows.append([
                f"{number(got['people'])} people, {said}",
                number(got["pairs"]), number(got["n_steps"]),
                number(got["snapshot_ms"], 1), number(got["plan_ms"], 1),
                f"{1e3 * (got['snapshot_ms'] + got['plan_ms']) / got['pairs']:.2f}",
                number(got["anon_loaded"] / 1e6, 1),
                number(got["peak_private"] / 1e6, 1)])
    return table(["", "pairs", "steps", "store read ms", "planned ms",
                  "µs a pair", "before MB", "at most MB"], rows)


def each_pair(got):
    return (got["snapshot_ms"] + got["plan_ms"]) / got["pairs"]


def growth(plans, state):
    """How much more a pair costs in the largest of the organisations of one
    form than in the smallest of them; the first of all has another form."""
    return each_pair(plans[-1][state]) / each_pair(plans[1][state])


def _provision_targets(t, provision):
    for result in provision:
        said = f"{number(result['agents'])} agents"
        for kind in homeservers(result):
            runs, on = result[kind], where(result, kind)
            on = "the scripted homeserver" if kind == "scripted" else on
            tokens, everything = tokens_part(runs), all_part(runs)
            t.add(f"{said} from nothing on {on}, until the last token: part of "
                  "the bare register and login loop's rate", "≥ 90 %",
                  percent(tokens), tokens >= 0.9)
            t.add("– until the plan is empty: part of that of the bare loop "
                  "of the same requests", "≥ 90 %", percent(everything),
                  everything >= 0.9)
        counts = result["counts"]
        t.add("– requests for each agent", "≤ 3", f"{counts['an_agent']:.2f}",
              counts["an_agent"] <= 3)
        t.add("– requests for each membership", "≤ 2",
              f"{counts['a_membership']:.2f}", counts["a_membership"] <= 2)


def _restart_targets(t, restart):
    runs, move, whole = restart["runs"], restart["move"], restart["whole"]
    cpu = statistics.median(run["cpu_s"] for run in runs)
    private = max(run["private_peak"] for run in runs)
    writes = max(run["writes"] for run in runs)
    reads, most = max(run["reads"] for run in runs), whole["rooms"] + 5
    t.add(f"start with {number(whole['people'])} people and "
          f"{number(whole['pairs'])} direct rooms, nothing to do: our own "
          "processor time", "< 2 s", f"{cpu:.2f} s", cpu < 2)
    t.add("– private memory at most", "< 20 MB", megabytes(private),
          private < 20e6)
    t.add("– writes", "0", number(writes), writes == 0)
    t.add("– reads", f"≤ {most}", number(reads), reads <= most)
    t.add("one moves to another team: planned", "< 10 ms",
          f"{move['plan_ms']:.1f} ms", move["plan_ms"] < 10)
    other = len(move["more"]) + len(move["missing"])
    t.add("– steps of somebody else, or missing", "0", number(other),
          other == 0)


def _plan_targets(t, plans):
    for state, said in (("nothing", "from nothing"),
                        ("present", "with all present")):
        got = plans[-1][state]
        took = (got["snapshot_ms"] + got["plan_ms"]) / 1e3
        t.add(f"plan of {number(got['people'])} people and "
              f"{number(got['pairs'])} pairs, {said}: the store read, and "
              "planned", "< 5 s", f"{took:.2f} s", took < 5)
        t.add("– private memory at most", "< 200 MB",
              megabytes(got["peak_private"]), got["peak_private"] < 200e6)
        if len(plans) > 2:
            more = growth(plans, state)
            t.add("– time for each pair, times that of "
                  f"{number(plans[1][state]['people'])} people", "≤ 2",
                  number(more, 2), more <= 2)


def targets(t, fleet):
    _provision_targets(t, fleet["provision"])
    _restart_targets(t, fleet["restart"])
    _plan_targets(t, fleet["plan"])


def words(fleet):
    """{placeholder: what stands there}"""
    provision, whole = fleet["provision"], fleet["restart"]["whole"]
    return {
        "tokens": tokens_table(provision),
        "everything": all_table(provision),
        "counts": counts_table(provision),
        "homeserver": NAMES[provision[0]["manner"]],
        "fleet_rounds": str(len(provision[0]["scripted"])),
        "restart": restart_table(fleet["restart"]),
        "starts_again": str(len(fleet["restart"]["runs"])),
        "restart_people": number(whole["people"]),
        "restart_rooms": number(whole["rooms"]),
        "restart_pairs": number(whole["pairs"]),
        "plan": plan_table(fleet["plan"])}
