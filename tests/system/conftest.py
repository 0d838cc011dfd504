# SPDX-License-Identifier: Apache-2.0
"""Which tests there are to run: a test that cannot run here is left out by a rule below, which
says why. None skips itself, since a skipped test is a promise that nobody looks at."""
import os
import signal

# Not in any TPM, so such keys are tested with the fake broker alone.
NOT_IN_A_TPM = {"ed25519"}


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: needs a build without sanitizers")
    config.addinivalue_line("markers", "root: has to become another user")
    # Of a job in the background they are ignored, which what the tests start would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in signal.SIGQUIT, signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


def cannot_run(item):
    if "HOLDFAST_TEST_PRELOAD" in os.environ and item.get_closest_marker("plain"):
        return True
    if os.getuid() != 0 and item.get_closest_marker("root"):
        return True
    params = getattr(getattr(item, "callspec", None), "params", {})
    keys = getattr(item.module, "KEYS", {})
    if "stack" not in params or params["stack"][0] != "tpm":
        return False
    return any(isinstance(v, str) and v in keys and keys[v][0] in NOT_IN_A_TPM
               for v in params.values())


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if cannot_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
