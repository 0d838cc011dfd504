# SPDX-License-Identifier: Apache-2.0
"""Which tests there are to run: a test that cannot run here is left out by a rule below, which
says why. None skips itself, since a skipped test is a promise that nobody looks at. How many were
left out, and why, goes into the file HOLDFAST_TEST_LEFT_OUT, if that is set, and to tests/count."""
import collections
import os
import signal

import pytest

LONG = {"test_agent_est", "test_agent_est_kill", "test_agent_kill", "test_idle"}

# Not in any TPM, so such keys are tested with the fake broker alone.
NOT_IN_A_TPM = {"ed25519"}


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: needs a build without sanitizers")
    config.addinivalue_line("markers", "root: has to become another user")
    # Of a job in the background they are ignored, which what the tests start would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in signal.SIGQUIT, signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


def why_not(item):
    """None: it can run."""
    if "HOLDFAST_TEST_PRELOAD" in os.environ and item.get_closest_marker("plain"):
        return "need a build without sanitizers"
    if os.getuid() != 0 and item.get_closest_marker("root"):
        return "need root"
    params = getattr(getattr(item, "callspec", None), "params", {})
    keys = getattr(item.module, "KEYS", {})
    if "stack" not in params or params["stack"][0] != "tpm":
        return None
    absent = any(isinstance(v, str) and v in keys and keys[v][0] in NOT_IN_A_TPM
                 for v in params.values())
    return "need keys that no TPM has" if absent else None


@pytest.hookimpl(trylast=True)  # after -k: what nobody asked for is not missed
def pytest_collection_modifyitems(config, items):
    reasons = {item: why_not(item) for item in items}
    left_out = [item for item in items if reasons[item]]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not reasons[item]]
    # The longest first: at the end one worker would do them while the others have nothing left.
    items.sort(key=lambda item: item.module.__name__ not in LONG)
    if "HOLDFAST_TEST_LEFT_OUT" in os.environ:  # every worker writes the same
        with open(os.environ["HOLDFAST_TEST_LEFT_OUT"], "w") as f:
            for reason, n in collections.Counter(reasons[item] for item in left_out).items():
                f.write("%d left out: %s\n" % (n, reason))
