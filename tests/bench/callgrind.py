"""Instructions that one transaction of thirty memberships costs, counted by
callgrind: whatever the process does, by library."""

import collections
import os
import re
import subprocess


def _self_cost(path):
    """{object file: instructions}"""
    cost, here, call = collections.Counter(), "", False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("ob="):
                here = os.path.basename(line[3:].strip())
            elif line.startswith("calls="):
                call = True
            elif re.match(r"[0-9+*-]", line):
                if not call:
                    cost[here] += int(line.split()[1])
                call = False
    return cost


def instructions(service, load, n, folder):
    """Of one transaction: the difference between a run of 2n and one of n,
    by n. The first of all, which prepares what stays, counts for neither."""
    out = os.path.join(folder, "callgrind.out")
    dumped = []

    def run(transactions, seed):
        subprocess.run(
            [load, *service.load_options(), "--transactions",
             str(transactions), "--repeats", "0", "--seed", str(seed)],
            stdout=subprocess.DEVNULL, check=True)
        subprocess.run(
            ["callgrind_control", "--dump", str(service.pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        dumped.append(_self_cost(f"{out}.{len(dumped) + 1}"))
    try:
        # What is only done once, like making agents, is done.
        service.start()
        service.stop()
        service.start(under=[
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
            "--compress-strings=no", "--compress-pos=no"])
        for seed, transactions in enumerate((n, n, 2 * n)):
            run(transactions, seed + 1)
    finally:
        service.close()
    _, once, twice = dumped
    each = {name: (twice[name] - once[name]) / n for name in twice}
    return {"transactions": n, "total": sum(each.values()), "by_library": each}
