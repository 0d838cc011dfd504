# SPDX-License-Identifier: Apache-2.0
"""The broker and the keeper killed, and the disk failing, at every step of enrolments at a real EST
server."""
import errno

import pytest

from test_agent_est import issued
from test_agent_est_kill import PERIOD, WHATS, fingerprint, heal, killed_at_every_step, site  # noqa: F401

pytestmark = pytest.mark.plain  # libest does not run below AddressSanitizer


@pytest.mark.parametrize("who", ["broker", "keeper"])
@pytest.mark.parametrize("what", WHATS)
def test_others_killed_at_every_step(site, what, who):  # noqa: F811
    killed_at_every_step(site, what, who)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("what", ["rotate"])
def test_disk_fails_at_every_write(site, error):  # noqa: F811
    """Whatever cannot be written: the certificate that came is kept, and not asked for again."""
    device, env = site
    at, failed = 0, True
    while failed:
        at += 1
        before, count, said = fingerprint(device), issued(env), len(device.log())
        device.fault(at, error=getattr(errno, error))
        device.advance(PERIOD)
        device.until(lambda: any(text in device.log()[said:]
                                 for text in ("; again in", "a new one is in use")), 60)
        device.turn()  # what comes after that is done as well
        failed = device.steps() >= at
        device._wish(5, 0)
        assert fingerprint(device) == before or device.key_of("web") in device.generations("web")
        heal(device, before)
        device.check_pair("web")
        assert issued(env) - count == 1, at
        assert "staged" not in device.generations("web").values()
    assert at > 40
