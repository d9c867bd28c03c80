"""The part of docs/performance.md about the hand-off."""

import statistics

from page_fleet import NAMES, megabytes
from tables import number, table


def nine_in_ten(values):
    return sorted(values)[-(len(values) // 10) - 1]


def times_bare(runs):
    """In the median round; they took turns."""
    return statistics.median(
        run["muster"]["seconds"] / run["bare"]["seconds"] for run in runs)


def kinds(handoff):
    return [kind for kind in (*NAMES, "scripted") if kind in handoff]


def latency_table(handoff):
    rows = []
    for said, key in (("the login's answer to the file", "login_to_file_ms"),
                      ("the file to the program", "file_to_program_ms")):
        took = handoff[key]
        rows.append([said, f"{statistics.median(took):.2f}",
                     f"{nine_in_ten(took):.2f}", f"{max(took):.2f}"])
    return table(["", "median ms", "nine in ten ms", "longest ms"], rows)


def exchange_table(handoff):
    rows = []
    for kind in kinds(handoff):
        runs = handoff[kind]

        def median(who, runs=runs):
            return statistics.median(run[who]["seconds"] for run in runs)
        rows.append([
            f"{number(runs[0]['muster']['agents'])} agents, "
            f"{NAMES.get(kind, kind)}", f"{median('muster'):.3f}",
            f"{median('bare'):.3f}", number(times_bare(runs), 2)])
    return table(["", "s", "bare s", "times"], rows)


def idle_table(handoff):
    idle = handoff["idle"]
    return table(["", ""], [
        ["seconds", number(idle["seconds"])],
        ["opens of the directory", number(idle["directory"])],
        ["opens of files in it", number(idle["files"])],
        ["`whoami`", number(idle["whoami"])],
        ["other requests", number(idle["requests"] - idle["whoami"])],
        ["private memory", megabytes(idle["private"])]])


def _idle_targets(t, idle):
    opens = idle["directory"] / idle["seconds"]
    asked = 60 * idle["whoami"] / idle["seconds"]
    other = idle["files"] + idle["requests"] - idle["whoami"]
    t.add("muster-agent, idle: opens of the directory a second", "≤ 1.1",
          number(opens, 2), opens <= 1.1)
    t.add("– `whoami` a minute", "≤ 1.2", number(asked, 2), asked <= 1.2)
    t.add("– anything else", "0", number(other), other == 0)
    t.add("– private memory", "< 3 MB", megabytes(idle["private"]),
          idle["private"] < 3e6)


def targets(t, handoff):
    for said, key, most in (
            ("a login's answer until the agent's file is there, nine in ten",
             "login_to_file_ms", 5),
            ("the file until the program has its token, nine in ten",
             "file_to_program_ms", 50)):
        took = nine_in_ten(handoff[key])
        t.add(said, f"< {most} ms", f"{took:.2f} ms", took < most)
    many = handoff["many"]
    t.add(f"{number(many['agents'])} agents written", "< 2 s",
          f"{many['written_s']:.2f} s", many["written_s"] < 2)
    for kind in kinds(handoff):
        times, real = times_bare(handoff[kind]), kind in NAMES
        n = number(handoff[kind][0]["muster"]["agents"])
        on = NAMES.get(kind, "the scripted homeserver")
        t.add(f"{n} tokens exchanged on {on}: time, times that of the bare "
              "login loop", "≤ 1.2" if real else "–", number(times, 2),
              times <= 1.2 if real else None)
    _idle_targets(t, handoff["idle"])


def words(handoff):
    """{placeholder: what stands there}"""
    return {
        "latency": latency_table(handoff),
        "latencies": str(len(handoff["login_to_file_ms"])),
        "written_agents": number(handoff["many"]["agents"]),
        "written_s": f"{handoff['many']['written_s']:.2f}",
        "exchange": exchange_table(handoff),
        "exchange_rounds": str(len(handoff["scripted"])),
        "idle": idle_table(handoff)}
