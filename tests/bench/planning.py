"""The plan alone, for organisations of several sizes: tests/bench/plan on a
folder with their files, with an empty store and with one in which everything
is as declared."""

import json
import os
import shutil
import subprocess

import organisation
from support.muster import Muster

SERVER = "fleet.example"
# Of a department's teams all have the same size, so that there are as many
# pairs for each person whatever the size.
SIZES = [(1000, 2, 8), (3000, 6, 8), (10000, 20, 8)]


class _Nowhere:
    """A homeserver that is not asked for anything."""
    url = "http://127.0.0.1:9"
    server_name = SERVER
    kind = "synapse"


def organisations(quick):
    yield "the reference", organisation.reference(SERVER)
    for people, departments, teams in SIZES[:1] if quick else SIZES:
        yield f"{people:,} people", organisation.make(
            SERVER, organisation.even(people, departments, teams))


def run(program, config, *options):
    done = subprocess.run(
        [program, "--config", config, *map(str, options)],
        stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(program, folder, orgs, say):
    """Of (name, organisation): [{name, nothing: result, present: result}]"""
    results = []
    for name, org in orgs:
        path = os.path.join(folder, "plan")
        shutil.rmtree(path, ignore_errors=True)
        muster = Muster(path, _Nowhere, org=org, direct={"create": "eager"})
        config = muster.path("muster.yaml")
        nothing = run(program, config, "--times", 3)
        run(program, config, "--fill", "all", "--times", 1)
        # In a process of its own: what filling took is not the plan's.
        present = run(program, config, "--times", 3)
        assert present["n_steps"] == 0, f"{name}: {present}"
        assert nothing["n_steps"] > present["agents"], f"{name}: {nothing}"
        results.append({"name": name, "nothing": nothing, "present": present})
        for state in ("nothing", "present"):
            got = results[-1][state]
            say(f"plan, {name}, {got['pairs']} pairs, {state}: "
                f"{got['snapshot_ms']:.1f} ms + {got['plan_ms']:.1f} ms, "
                f"{got['n_steps']} steps, peak {got['peak'] / 1e6:.0f} MB")
        shutil.rmtree(path)
    return results
