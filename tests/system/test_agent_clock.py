# SPDX-License-Identifier: Apache-2.0
"""A clock that is wrong for a while, in either direction: what was right before is right again."""
import os
import time

import pytest

from agentlib import DAY, Device
from apilib import Api, chain, config, csr

YEARS = 3650 * DAY


def saved(device):
    """The time on record, or 0."""
    path = os.path.join(device.dir, "agent", "clock")
    return int(open(path).read()) if os.path.exists(path) else 0


def renewed(device, before):
    device.until(lambda: device.fingerprint() != before)
    device.until(lambda: device.credential("edge-ca")["fingerprint_sha256"] == device.fingerprint())


@pytest.fixture
def device():
    with Device(config()) as d:
        yield d


def there_and_back(device):
    """Ten years on for a moment, in which the Edge CA is renewed. Its certificate of before and after."""
    before = device.fingerprint()
    device.advance(YEARS)
    renewed(device, before)
    ahead = device.fingerprint()
    device.advance(-YEARS)
    device.until(lambda: not device.status()["clock"]["trusted"])
    return before, ahead


@pytest.mark.parametrize("how", ["synchronised", "accepted"])
def test_ten_years_ahead_for_a_moment(device, how):
    api = Api(device)
    assert api.server("m", csr=csr()).code == 201
    before, ahead = there_and_back(device)
    # It is said what is wrong, since when, and what to do.
    status = device.status()
    year = time.gmtime(device.now() + YEARS).tm_year
    for word in "%d-" % year, "edge-ca", "holdfast clock accept":
        assert word in status["clock"]["reason"], status["clock"]
    check = device.cli("check", "--offline", "--only", "host-local-time", "--root", device.dir, code=1)
    assert "holdfast clock accept" in check.stdout and "%d-" % year in check.stdout
    # Nothing was forgotten, and the time is not on record.
    assert [m["module"] for m in api.certd("GET", "/holdfast/v1/modules").json["modules"]] == ["m"]
    assert len(os.listdir(os.path.join(device.dir, "agent", "retired"))) >= 1
    assert saved(device) < device.now() + DAY
    # Not by a restart, either.
    device.stop_agent()
    device.start_agent()
    assert not device.status()["clock"]["trusted"] and device.fingerprint() == ahead
    if how == "synchronised":
        device.synchronised()
        device.wake()
    else:
        said = device.cli("clock", "accept", "--root", device.dir).stdout
        assert "the clock is trusted" in said
    renewed(device, ahead)
    device.until(lambda: device.status()["clock"]["trusted"] and device.credential("edge-ca")["state"] == "ok")
    assert device.cert().not_valid_before.timestamp() < device.now() + DAY
    got = chain(api.workload("GET", "/modules/m/genid/1/certificate/server").json["certificate"])
    assert got[1] == device.cert() and got[0].not_valid_before.timestamp() < device.now() + DAY
    # And it stays so.
    device.synchronised(False)
    device.stop_agent()
    device.start_agent()
    assert device.status()["clock"]["trusted"]
    device.check_pair()


def test_accepted_before_the_certificate_can_be_replaced(device):
    """The broker is away just then, and the agent is started again."""
    _, ahead = there_and_back(device)
    device.end(device.broker)
    device.cli("clock", "accept", "--root", device.dir)
    device.until(lambda: device.credential("edge-ca")["state"] == "failed")
    device.stop_agent()
    device.start_agent()
    assert device.status()["clock"]["trusted"]
    device.start_broker()
    device.advance(120)
    renewed(device, ahead)


def test_before_the_build_nobody_is_believed(device):
    device.synchronised()
    device.advance(-device.now())
    device.until(lambda: not device.status()["clock"]["trusted"])
    assert "when this program was built" in device.status()["clock"]["reason"]
    said = device.cli("clock", "accept", "--root", device.dir, code=3).stderr
    assert "1970-" in said and "set it first" in said
    device.advance(-device.offset)
    device.until(lambda: device.status()["clock"]["trusted"])


def test_a_time_that_holds_is_put_on_record(device):
    api = Api(device)
    assert api.server("m", csr=csr()).code == 201
    device.advance(400 * DAY)
    device.until(lambda: "the clock was set" in device.log())
    assert saved(device) < device.now() - 300 * DAY
    assert api.certd("GET", "/holdfast/v1/modules").json["modules"]
    device.sleep(31 * DAY)
    device.until(lambda: saved(device) > device.now() - DAY)
    device.until(lambda: not api.certd("GET", "/holdfast/v1/modules").json["modules"])


def test_a_synchronised_clock_is_put_on_record_at_once(device):
    device.synchronised()
    device.advance(400 * DAY)
    device.until(lambda: saved(device) > device.now() - DAY)


def test_back_from_a_time_on_record_without_a_restart(device):
    """Whoever sets the clock back below what was good: it is noticed by the run that put it there."""
    api = Api(device)
    device.synchronised()
    device.set_clock(400 * DAY)
    assert api.certd("GET", "/holdfast/v1/modules").code == 200
    assert saved(device) > device.now() - DAY
    device.synchronised(False)
    device.set_clock(0)
    assert api.server("m", csr=csr()).code == 503
    device.until(lambda: not device.status()["clock"]["trusted"])
    assert "holdfast clock accept" in device.status()["clock"]["reason"]


def test_back_by_hours_everything_is_looked_at_again():
    """Also when it is a request that sees it first; a minute from then would be hours from now."""
    with Device(config(keys="token")) as device:
        api = Api(device)
        assert api.server("m").code == 201
        name = next(n for n in os.listdir(device.certs) if n.startswith("module-"))
        for n, clock in (1, 6 * 3600), (2, 0):
            os.unlink(device.path(name))
            os.unlink(device.path("edge-ca.pem"))
            device.set_clock(clock)
            assert api.certd("GET", "/holdfast/v1/status").code == 200
            device.until(lambda: device.log().count("the clock was set; everything is planned anew") == n)
            device.until(lambda: os.path.exists(device.path("edge-ca.pem")))
            device.until(lambda: os.path.exists(device.path(name)))


def test_asleep_for_months(device):
    """CLOCK_BOOTTIME goes on: nobody has set the clock."""
    before = device.fingerprint()
    device.sleep(80 * DAY)
    renewed(device, before)
    device.until(lambda: saved(device) > device.now() - DAY)
    assert "the clock was set" not in device.log() and device.status()["clock"]["trusted"]


def test_a_clock_that_is_set_is_noticed_at_once():
    """By the kernel's word, without waiting for the minute."""
    with Device(start=False) as device:
        timer = os.path.join(device.dir, "timer")
        os.mkfifo(timer)
        device.agent_env = {"HOLDFAST_TEST_TIMER": timer}
        device.apply("")
        device.start_broker()
        device.start_agent()
        before = device.fingerprint()
        device.set_clock(75 * DAY)
        with open(timer, "wb") as f:
            f.write(b"x")
        renewed(device, before)
        assert "the configuration was read again" not in device.log()
