"""docs/performance.md from what was measured (and page.md)."""

import os
import statistics
import string
import textwrap

import page_fleet
import page_handoff
import peers
from tables import number, table

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {
    "bare": "bare SQLite loop",
    "bare with ids": "bare SQLite loop with transaction ids"}
EACH_WORDS = ", a commit for each event"
EACH = [name for name in peers.PEERS if "each transaction" not in name]


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def rates(subjects, names=NAMES):
    rows = []
    for name, runs in subjects.items():
        rows.append([
            names.get(name, name), number(median(runs, "events_per_s")),
            number(median(runs, "transactions_per_s")),
            number(median(runs, "p50_us")), number(median(runs, "p90_us")),
            number(median(runs, "p99_us")),
            number(max(run["max_us"] for run in runs)),
            number(median(runs, "cpu_us")) if "cpu_us" in runs[0] else ""])
    return table(["", "events/s", "transactions/s", "p50 µs", "p90 µs", "p99 µs",
                  "max µs", "CPU µs"], rows)


def fastest(subjects, among):
    return max(among, key=lambda name: median(subjects[name], "events_per_s"))


class Targets:
    def __init__(self):
        self.rows = []
        self.missed = []

    def add(self, what, wanted, measured, met):
        if met is False:
            self.missed.append(f"{what}: {measured}, wanted {wanted}")
        self.rows.append([what, wanted, measured, {
            True: "met", False: "**missed**", None: ""}[met]])

    def table(self):
        return table(["", "wanted", "measured", ""], self.rows)

    def text(self):
        return "\n".join("  ".join(row) for row in self.rows) + "\n" + (
            f"{len(self.missed)} missed" if self.missed else "all met")


def compare_rates(t, results):
    members = results["compare"]["others 30 kept"]
    ours = median(members["muster"], "events_per_s")
    for among, wanted in ((EACH, 10), (list(peers.PEERS), None)):
        name = fastest(members, among)
        times = ours / median(members[name], "events_per_s")
        p99 = (median(members["muster"], "p99_us")
               / median(members[name], "p99_us"))
        said = (f"the fastest peer with a commit for each event ({name})"
                if wanted else f"the fastest of all ({name})")
        t.add(f"30 memberships: events/s, times those of "
              f"{said.replace(EACH_WORDS, '')}",
              "≥ 10" if wanted else "–", number(times, 1),
              times >= 10 if wanted else None)
        t.add("– p99, times that of the same", "≤ 0.20" if wanted else "–",
              number(p99, 2), p99 <= 0.2 if wanted else None)
    one = results["compare"]["others 1 kept"]
    part = (median(one["muster"], "events_per_s")
            / median(one["bare"], "events_per_s"))
    t.add("1 membership: events/s, part of the bare loop's commits/s", "≥ 60 %",
          f"{100 * part:.0f} %", part >= 0.6)
    t.add("– with those that came again counted", "–",
          "{:.0f} %".format(
              100 * median(one["muster"], "transactions_per_s")
              / median(one["bare"], "transactions_per_s")), None)
    for per, wanted in ((30, True), (1, False)):
        messages = results["compare"][f"messages {per} kept"]
        name = fastest(messages, peers.PEERS)
        times = (median(messages["muster"], "events_per_s")
                 / median(messages[name], "events_per_s"))
        t.add(f"{per} message{'s' * (per > 1)}: events/s, times those of "
              f"the fastest peer ({name.partition(',')[0]})",
              "≥ 1.0" if wanted else "–", number(times, 2),
              times >= 1 if wanted else None)


def targets(results):
    t = Targets()
    compare_rates(t, results)
    memory = results["memory"]
    events = number(memory["events"])
    private, resident = memory["private"], memory["resident"]
    t.add(f"private memory after {events} events", "≤ 6 MB",
          f"{private[4] / 1e6:.2f} MB", private[4] <= 6e6)
    change = private[4] / private[3] - 1
    t.add("– its change in the last quarter", "≤ 2 %",
          f"{100 * change:+.1f} %", abs(change) <= 0.02)
    t.add(f"resident memory after {events} events", "≤ 20 MB",
          f"{resident[4] / 1e6:.2f} MB", resident[4] <= 20e6)
    large = results["large"]
    rows = number(large["rows"])
    cost = (median(large["empty"], "transactions_per_s")
            / median(large["large"], "transactions_per_s"))
    t.add(f"a transaction's cost with {rows} memberships, times that with "
          "an empty store", "≤ 1.5", number(cost, 2), cost <= 1.5)
    for which, limit, said in (("empty", 30, "an empty store"),
                               ("large", 100, f"{rows} memberships")):
        took = statistics.median(large[f"start_{which}"])
        t.add(f"start to listening with {said}", f"< {limit} ms",
              f"{took:.1f} ms", took < limit)
    page_fleet.targets(t, results["fleet"])
    page_handoff.targets(t, results["handoff"])
    return t


def machine_table(machine):
    return table(["", ""], [
        ["processor", f"{machine['cpu']}, {machine['cores']} cores"],
        ["memory", f"{machine['ram_gib']:.1f} GiB"],
        ["system", machine["system"]],
        ["disk", machine["disk"]],
        ["SQLite", machine["sqlite"]],
        ["muster", machine["muster"]],
        ["what others did on it, just before",
         f"{100 * machine['other_work']:.0f} % of its time"]
    ]).replace("---:", "---")


def muster_only(compare):
    words = {"agents 30 kept": "memberships of agents, 30",
             "mixed 30 kept": "mixed, 30",
             "others 30 new": "memberships, 30, a connection for each",
             "others 1 new": "memberships, 1, a connection for each"}
    return rates({words[label]: subjects["muster"] for label, subjects in
                  compare.items() if label in words})


def memory_table(memory):
    quarters = ["before"] + [number(memory["events"] * n // 4)
                             for n in range(1, 5)]
    return table(["events", "private MB", "resident MB"], [
        [said, f"{private / 1e6:.2f}", f"{resident / 1e6:.2f}"]
        for said, private, resident in zip(
            quarters, memory["private"], memory["resident"])])


def start_table(large):
    def row(said, took):
        return [said, f"{statistics.median(took):.1f}", f"{min(took):.1f}",
                f"{max(took):.1f}"]
    return table(["", "median ms", "shortest ms", "longest ms"], [
        row("the store is made", [large["first_start"]]),
        row("an empty store", large["start_empty"]),
        row(f"{number(large['rows'])} memberships", large["start_large"])])


def instruction_table(counted):
    names = sorted(counted["by_library"], reverse=True,
                   key=lambda name: counted["by_library"][name])
    rows = [["all", number(counted["total"]), "100.0 %"]]
    for name in names:
        n = counted["by_library"][name]
        if n >= counted["total"] / 1000:
            rows.append([name if name != "???" else "the dynamic linker",
                         number(n), f"{100 * n / counted['total']:.1f} %"])
    return table(["", "instructions", "part"], rows)


def set_back(compare):
    said = []
    for name, runs in compare["others 30 kept"].items():
        if name in peers.PEERS and any(run["set_back"] for run in runs):
            said.append(f"{sum(run['set_back'] for run in runs)} of "
                        f"{number(sum(run['rows'] for run in runs))} with "
                        f"{name.partition(',')[0]}")
    return ", ".join(said) or "though it did not happen in this run"


def filled(text):
    """Paragraphs of 80 columns again; tables and the rest as they are."""
    parts = []
    for part in text.split("\n\n"):
        if part[:1] in "#|-" or part.startswith("    "):
            parts.append(part.rstrip("\n"))
        else:
            parts.append(textwrap.fill(
                part, 80, break_long_words=False, break_on_hyphens=False))
    return "\n\n".join(parts) + "\n"


def words(results):
    """{placeholder: what stands there}"""
    compare, large = results["compare"], results["large"]
    counted = results["callgrind"]
    making = [run["making"] for run in compare["others 30 kept"]["muster"]]
    return {
        "command": results["machine"]["command"],
        "date": results["machine"]["date"],
        "machine": machine_table(results["machine"]),
        "targets": targets(results).table(),
        "others_30": rates(compare["others 30 kept"]),
        "others_1": rates(compare["others 1 kept"]),
        "messages_30": "Thirty in a transaction:\n\n" + rates(
            compare["messages 30 kept"]),
        "messages_1": "One in a transaction:\n\n" + rates(
            compare["messages 1 kept"]),
        "muster_only": muster_only(compare),
        "memory": memory_table(results["memory"]),
        "rows": number(large["rows"]),
        "rooms": number(large["rooms"]),
        "fill": number(large["fill"]["events_per_s"]),
        "large": rates({f"{number(large['rows'])} memberships":
                        large["large"], "an empty store": large["empty"]}),
        "starts": str(len(large["start_empty"])),
        "start": start_table(large),
        "counted": str(counted["transactions"]),
        "counted_twice": str(2 * counted["transactions"]),
        "instructions": instruction_table(counted),
        "rounds": str(results["rounds"]),
        "seconds": str(results["seconds"]),
        "making": f"{100 * statistics.median(making):.0f} %",
        "peers": table(["", "version"], [
            [name, version] for name, version in
            results["peers"].items()]).replace("---:", "---"),
        "set_back": set_back(compare),
        **page_fleet.words(results["fleet"]),
        **page_handoff.words(results["handoff"])}


def write(results, path):
    """Writes the page; what is met and what is not, as text."""
    with open(os.path.join(HERE, "page.md"), encoding="utf-8") as f:
        template = string.Template(f.read())
    with open(path, "w", encoding="utf-8") as f:
        f.write(filled(template.substitute(words(results))))
    return targets(results).text()
