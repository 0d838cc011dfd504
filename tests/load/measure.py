# SPDX-License-Identifier: Apache-2.0
"""What the load does to broker, keeper and TPM, and whether that is within the promise."""
import contextlib
import os

from keeperlib import until

RSS_MAX = 24 << 10  # KiB, in the promise
GROWTH_MAX = 1024  # KiB between a quarter of a run and its end: a leak of 8 bytes a signature


def memory(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def peak(pid):
    return memory(pid, "VmHWM")


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def look(tpm, broker, keeper):
    """All of it at one time; @tpm is a Proxy below a keeper that lives and goes on."""
    return {"objects": len(tpm.objects()), "sessions": len(tpm.sessions()),
            "broker_fds": fds(broker), "keeper_fds": fds(keeper),
            "broker_kib": memory(broker), "keeper_kib": memory(keeper)}


def held(seen):
    """What has to be the same after a load as before it."""
    return {k: seen[k] for k in ("objects", "sessions", "broker_fds", "keeper_fds")}


def settled(take, before, timeout=20):
    """What @take sees, once nothing more is held than before, or after some time in any case."""
    with contextlib.suppress(AssertionError):
        until(lambda: held(take()) == held(before), timeout)
    return take()


def leaks(before, quarter, end, after):
    """What has leaked, in words; @quarter and @end are both of the time of the load."""
    out = ["%s: %d, %d after it" % (k, v, after[k]) for k, v in held(before).items()
           if after[k] != v]
    if quarter["keeper_fds"] != end["keeper_fds"]:
        out.append("keeper_fds: %d, then %d" % (quarter["keeper_fds"], end["keeper_fds"]))
    return out


def grown(quarter, end):
    """How much larger each has become, in KiB."""
    return {who: end[who + "_kib"] - quarter[who + "_kib"] for who in ("broker", "keeper")}
