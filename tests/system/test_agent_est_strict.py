# SPDX-License-Identifier: Apache-2.0
"""The agent and EST servers that are strict, change, hang, or answer wrongly (badest.py)."""
import base64
import calendar
import datetime
import os
import ssl

import pytest
from cryptography import x509

from agentlib import DAY, Device
from badest import HOST, BadEst, certs, issue, reply
from estpki import CLIENT, NOW, Cert
from test_agent_est import IDS, begin, delays_nothing, no_key_is_left_over

ROOT_CA = Cert("EST root", ca=True, days=3650)
SERVER = Cert("localhost", ROOT_CA, days=3650, **HOST)
FACTORY = Cert("factory-1", ROOT_CA, days=3650, eku=(CLIENT,))
WEB = """
[cert_issuance.est]
trusted_certs = ["file://%(trust)s"]
[cert_issuance.est.auth]
username = "u"
password = "p"
[cert_issuance.est.urls]
default = "%(url)s"
[[credential]]
id = "web"
method = "est"
common_name = "web.example"
sans = ["DNS:web.example"]
[credential.renew]
rotate_key = true
retry = "4%%"
[edge_ca]
enabled = false
"""
WITH_CLIENTS = ROOT_CA.pem


def asks_for_certificates(context):
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ROOT_CA.pem)


class Site(Device):
    """A device, and a server that goes by its clock. What is right is issued, for 90 days."""

    def __init__(self, handlers=None, **how):
        super().__init__(start=False)
        how = dict(dict(cert=SERVER, tls=asks_for_certificates), **how)
        self.server = BadEst(dict({
            "cacerts": lambda r: certs(ROOT_CA.der),
            "simpleenroll": self.issued, "simplereenroll": self.issued}, **(handlers or {})), **how)
        self.url = self.server.url
        self.trust = self.file("root.pem", ROOT_CA.pem)

    def issued(self, request, days=90, **other):
        now = self.offset / DAY
        return certs(issue(request, ROOT_CA, begins=now - 1, days=now + days, **other).der)

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def run(self, config=WEB, **more):
        """As configured, until there is a certificate."""
        self.text = config % dict(dict(trust=self.trust, url=self.url), **more)
        self.apply(self.text)
        self.start_broker()
        self.start_agent()
        self.until(lambda: self.credential("web")["state"] == "ok")
        return self.fingerprint("web")

    def due(self, name="web"):
        self.advance(self.credential(name)["next"] - self.now() + 1)

    def renewed(self, before, name="web"):
        self.until(lambda: self.fingerprint(name) != before and
                   self.credential(name)["state"] == "ok")
        self.check_pair(name)
        return self.fingerprint(name)

    def failed(self, result, name="web"):
        self.until(lambda: self.credential(name)["state"] == "failed")
        assert self.credential(name)["last"]["result"] == result, self.log()
        return self.credential(name)["last"]["message"]

    def posts(self):
        return [r for r in self.server.requests if "enroll" in r.op]

    def close(self):
        self.server.close()
        super().close()


# ---------------------------------------------------------------- who asks

def names(something):
    """What RFC 7030, section 4.2.2, compares."""
    try:
        return something.subject, something.extensions.get_extension_for_class(
            x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return something.subject, None


def compares(site):
    """A handler of simplereenroll, as globalsign's and foundries' servers are."""
    def handler(r):
        if r.peer is None or names(r.peer) != names(r.csr):
            return reply(403, b"other names than the client certificate's", "text/plain")
        return site.issued(r)
    return handler


def enrolled(site):
    """Three certificates that are had by way of the factory's."""
    begin(site, {"HOLDFAST_EST_TRUST": site.trust, "HOLDFAST_EST_URL": site.url,
                 "HOLDFAST_EST_BOOTSTRAP_CERT": site.file("factory.pem", FACTORY.pem),
                 "HOLDFAST_EST_BOOTSTRAP_KEY": site.file("factory.key", FACTORY.key_pem)})
    return {name: site.fingerprint(name) for name in IDS}


def renew_all(site, before):
    site.server.requests.clear()
    site.advance(80 * DAY)
    for name in IDS:
        site.renewed(before[name], name)


def who(site):
    """Operation, subject of the request, subject of the client certificate."""
    return sorted((r.op, r.csr.subject.rfc4514_string(), r.peer and r.peer.subject.rfc4514_string())
                  for r in site.posts())


EDGE = ("simpleenroll", "CN=edge-ca-of-device-1", "CN=device-1")


def test_renewal_shows_the_certificate_that_is_replaced():
    with Site() as site:
        site.server.handlers["simplereenroll"] = compares(site)
        renew_all(site, enrolled(site))
        # a CA's certificate cannot be shown, so an Edge CA is enrolled by the EST identity
        assert who(site) == [EDGE] + 2 * [("simplereenroll", "CN=device-1", "CN=device-1")]
        spkis = [r.peer.public_key() for r in site.posts() if r.op == "simplereenroll"]
        assert spkis[0] != spkis[1], "one certificate for both of them"


def test_server_that_refuses_the_certificate_that_is_replaced():
    """Each is enrolled anew, in the same breath: with the EST identity, and that with the factory's."""
    with Site() as site:
        before = enrolled(site)
        failures = [site.credential(name)["failures"] for name in IDS]
        site.server.handlers["simplereenroll"] = lambda r: reply(403)
        renew_all(site, before)
        again = [("simpleenroll", "CN=device-1", name) for name in ("CN=device-1", "CN=factory-1")]
        assert who(site) == again + [EDGE] + 2 * [("simplereenroll", "CN=device-1", "CN=device-1")]
        assert [site.credential(name)["failures"] for name in IDS] == failures


def test_both_refused():
    with Site() as site:
        before = site.run()
        site.server.handlers.update(dict.fromkeys(("simpleenroll", "simplereenroll"),
                                                  lambda r: reply(403, b"no", "text/plain")))
        site.server.requests.clear()
        site.due()
        site.failed("refused")
        assert [r.op for r in site.posts()] == ["simplereenroll", "simpleenroll"]
        assert site.fingerprint("web") == before


def test_renewal_with_a_password():
    """The password is for whoever has no certificate yet; RFC 7030 wants both to be possible."""
    with Site() as site:
        site.server.handlers["simplereenroll"] = compares(site)
        first = site.cert("web") if site.run() else None
        site.due()
        site.renewed(site.fingerprint("web"))
        assert [(r.op, r.peer) for r in site.posts()] == [("simpleenroll", None),
                                                          ("simplereenroll", first)]
        assert site.posts()[1].csr.public_key() != first.public_key()


@pytest.mark.parametrize("who", ["web", "est-id"])
def test_certificate_whose_key_is_gone(who):
    """It is valid and cannot be shown: whoever else there is asks."""
    with Site() as site:
        before = site.run() if who == "web" else enrolled(site)[who]
        peer = None if who == "web" else FACTORY.cert
        site.stop_agent()
        site.cli("key", "delete", who, "--yes")
        site.server.requests.clear()
        site.start_agent()
        site.renewed(before, who)
        assert [(r.op, r.peer) for r in site.posts()] == [("simpleenroll", peer)]


def test_renewal_of_what_cannot_be_shown():
    """A certificate for servers alone is no client's: it is enrolled anew, with the password."""
    with Site() as site:
        before = site.run(WEB.replace('sans =', 'eku = ["serverAuth"]\nsans ='))
        site.due()
        site.renewed(before)
        assert [(r.op, r.peer) for r in site.posts()] == 2 * [("simpleenroll", None)]


# ---------------------------------------------------------------- who is believed

NEW_ROOT = Cert("EST root G2", ca=True, days=3650)
NEW_SERVER = Cert("localhost", NEW_ROOT, days=3650, **HOST)
BOTH = {"cacerts": lambda r: certs(ROOT_CA.der, NEW_ROOT.der)}


def anchors(site):
    return os.path.join(site.dir, "agent", "web.anchors.pem")


def move(site):
    """The server has a certificate of the new root, which it has told of before."""
    with open(site.file("server.pem", NEW_SERVER.key_pem + NEW_SERVER.pem)) as f:
        site.server.context.load_cert_chain(f.name)
    site.server.handlers["cacerts"] = lambda r: certs(NEW_ROOT.der)


def test_server_moves_to_the_new_root():
    with Site(BOTH) as site:
        before = site.run()
        move(site)
        site.due()
        site.renewed(before)
        with open(anchors(site)) as f:
            assert f.read().count("BEGIN CERTIFICATE") == 2


BY_FINGERPRINT = WEB.replace('trusted_certs = ["file://%(trust)s"]', 'fingerprint = "%(sha256)s"')


def test_server_moves_to_the_new_root_and_a_fingerprint_was_all_that_was_known():
    with Site(BOTH) as site:
        before = site.run(BY_FINGERPRINT, sha256=ROOT_CA.sha256)
        move(site)
        site.server.requests.clear()
        site.due()
        site.renewed(before)
        assert site.server.ops() == ["cacerts", "csrattrs", "simplereenroll"]
        # and a fingerprint that is corrected counts at once
        before = site.fingerprint("web")
        site.apply(site.text.replace(ROOT_CA.sha256, FACTORY.sha256))
        site.due()
        assert "fingerprint" in site.failed("tls")
        assert site.fingerprint("web") == before


@pytest.mark.parametrize("what", ["url", "certificates", "content"])
def test_what_came_of_other_trust_is_forgotten(what):
    """What one server has handed on is nothing to the next, nor to whom the administrator trusts now."""
    with Site(BOTH) as site, BadEst(cert=NEW_SERVER) as other:
        before = site.run()
        move(site)
        if what == "url":
            site.apply(site.text.replace(site.url, other.url))
        elif what == "certificates":
            site.apply(site.text.replace(site.trust, site.file("other.pem", SERVER.pem)))
        else:
            site.file("root.pem", FACTORY.pem)
        if what == "url":
            site.wake()  # another URL is another certificate
        else:
            site.due()
        assert "is not trusted" in site.failed("tls")
        assert site.fingerprint("web") == before
        assert "the CA certificates that came before are forgotten" in site.log()
        assert not site.posts()[1:] and not other.requests and not os.path.exists(anchors(site))


def test_anchors_of_an_older_version():
    """It did not write by what they came: an update must not cut devices off in the midst of a move."""
    with Site(BOTH) as site:
        before = site.run()
        with open(anchors(site)) as f:
            head, bare = f.read().split("\n", 1)
        assert head.startswith("trust ")
        with open(anchors(site), "w") as f:
            f.write(bare)
        move(site)
        site.due()
        site.renewed(before)
        assert "are forgotten" not in site.log()
        site.until(lambda: open(anchors(site)).read().startswith(head[:6]))


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "nul", "long"])
def test_damaged_anchors(damage):
    """They are set aside; what is configured goes on, and they come anew."""
    with Site(BOTH) as site:
        before = site.run()
        with open(anchors(site), "rb") as f:
            good = f.read()
        broken = {"flipped": good[:300] + b"!" + good[301:], "cut": good[:-100], "nul": good + b"\0",
                  "empty": good.splitlines(True)[0], "long": good + good * 300}[damage]
        with open(anchors(site), "wb") as f:
            f.write(broken)
        site.due()
        site.renewed(before)
        with open(anchors(site) + ".damaged", "rb") as f:
            assert f.read() == broken
        site.until(lambda: os.path.exists(anchors(site)))
        with open(anchors(site), "rb") as f:
            assert f.read() == good


def test_more_ca_certificates_than_are_remembered():
    big = [Cert("CA %d" % i, ROOT_CA, ca=True, days=90, exts=[x509.Extension(
        x509.ObjectIdentifier("1.2.3.4"), False, x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.2.3.4"), bytes(11000)))]).der for i in range(60)]
    with Site({"cacerts": lambda r: certs(ROOT_CA.der, *big)}) as site:
        before = site.run()
        site.until(lambda: "cannot be remembered" in site.log())
        site.due()
        site.renewed(before)


# ---------------------------------------------------------------- what holdfast-est says, and how it ends

# Runs the real one, then says something else, or does not end.
FAKE = """#!/usr/bin/env -S -u LD_PRELOAD /usr/bin/python3
import json, os, signal, subprocess, sys
done = subprocess.run(["%(est)s"], stdout=subprocess.PIPE)
result = json.loads(done.stdout)
if result["certificates_pem"] and os.path.exists("%(answer)s"):
    with open("%(answer)s") as f:
        result["certificates_pem"] = f.read()
print(json.dumps(result), end="%(end)s", flush=True)
while %(hangs)s:
    signal.pause()
"""


def fake(site, hangs=False, end="\\n"):
    """Instead of holdfast-est. What is in the file it returns comes in place of the certificate."""
    site.answer = os.path.join(site.dir, "answer.pem")
    text = FAKE % {"est": site.est, "answer": site.answer, "hangs": hangs, "end": end}
    site.est = site.file("est", text)
    os.chmod(site.est, 0o700)


WRONG = {  # what differs, what is said
    "another-key": (dict(public=FACTORY.key.public_key()), "for another key"),
    "expired": (dict(days=0, begins=-2), "not valid now"),
    "not-yet": (dict(begins=2), "not valid now"),
    "a-ca": (dict(ca=True), "a CA's"),
    "nothing": (None, "no certificate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_agent_looks_again_at_what_holdfast_est_says(case):
    """It has met strangers: were it taken over, the pair that is in use would stay."""
    how, said = WRONG[case]

    def swapped(r):
        now = site.offset / DAY
        right = dict(subject=r.csr.subject, public=r.csr.public_key(), begins=-1, days=90)
        wrong = dict(right, **(how or {}))
        wrong.update(begins=now + wrong["begins"], days=now + wrong["days"] - .5)
        site.file("answer.pem", Cert("", ROOT_CA, **wrong).pem if how else "nothing here\n")
        return site.issued(r)

    with Site() as site:
        fake(site)
        before = site.run()
        key = site.check_pair("web")
        site.server.handlers["simplereenroll"] = swapped
        site.due()
        assert said in site.failed("answer"), site.log()
        assert site.fingerprint("web") == before and site.check_pair("web") == key
        os.unlink(site.answer)
        site.server.handlers["simplereenroll"] = site.issued
        site.due()
        site.renewed(before)


def test_holdfast_est_that_does_not_end():
    """What it has said counts, and the next one does not wait for it."""
    with Site() as site:
        fake(site, hangs=True)
        before = site.run()
        site.due()
        site.renewed(before)


def test_half_a_result():
    with Site() as site:
        fake(site, end="")
        site.apply(WEB % dict(trust=site.trust, url=site.url))
        site.start_broker()
        site.start_agent()
        assert "without a result" in site.failed("network")


@pytest.mark.plain  # a sanitizer has terabytes to look at
@pytest.mark.root
def test_no_password_stays_in_the_agent():
    """That of a file: the agent's memory has nothing of it when the job is told."""
    secret = 'correct horse "battery" staple \\ \u00e4 ' * 60 + "!"
    asked = base64.b64encode(b"u:" + secret.encode()).decode()

    with Site() as site:
        def wants_it(r):
            if r.headers.get("authorization") != "Basic " + asked:
                return reply(401, WWW_Authenticate='Basic realm="x"')
            return site.issued(r)
        site.server.handlers["simpleenroll"] = wants_it
        path = site.file("password", secret + "\n")
        site.run(WEB.replace('password = "p"', 'password_file = "%(path)s"'), path=path)
        pid = site.worker()
        with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as memory:
            for line in maps:
                span, rights, *rest = line.split()
                if "r" not in rights or "[v" in line:
                    continue
                begins, ends = (int(x, 16) for x in span.split("-"))
                memory.seek(begins)
                found = memory.read(ends - begins)
                assert b"battery" not in found, line


SECOND = """
[[credential]]
id = "second"
method = "est"
common_name = "second.example"
[credential.est]
url = "%(second)s"
[[credential]]
id = "own"
method = "self_signed"
common_name = "own.example"
days = 30
"""


def test_a_server_that_hangs_when_it_has_the_request():
    with Site() as site, Site() as good:
        site.server.handlers["simpleenroll"] = site.server.hang
        good.server.handlers.update(simpleenroll=site.issued, simplereenroll=site.issued)
        site.apply((WEB + SECOND) % dict(trust=site.trust, url=site.url, second=good.url))
        site.start_broker()
        site.start_agent()
        site.until(lambda: site.posts())
        delays_nothing(site, "web", ("own", "second"))
        assert len(site.posts()) == 1


# ---------------------------------------------------------------- certificates that live for moments

def for_moments(site, seconds):
    """A CA that issues for so long; its clock is right."""
    def handler(r):
        now = site.now() - NOW.replace(tzinfo=datetime.timezone.utc).timestamp()
        return certs(issue(r, ROOT_CA, begins=(now - 60) / DAY, days=(now + seconds) / DAY).der)
    return handler


def test_life_that_is_over_at_once():
    """The server is asked once a minute, not all the time."""
    with Site() as site:
        site.server.handlers.update(dict.fromkeys(("simpleenroll", "simplereenroll"),
                                                  for_moments(site, 5)))
        before = site.run()
        for n in range(2, 5):
            site.until(lambda: "once a minute at most" in site.log())
            entry = site.credential("web")
            assert entry["next"] == entry["last"]["at"] + 60
            site.turn()
            assert len(site.posts()) == n - 1
            site.due()
            site.until(lambda: site.credential("web")["renewals"] == n)
        assert site.fingerprint("web") != before
        assert site.log().count("once a minute at most") == 1


def test_lives_of_two_hours():
    """The key before is kept for a quarter of such a life, so that keys do not pile up."""
    with Site() as site:
        site.server.handlers.update(dict.fromkeys(("simpleenroll", "simplereenroll"),
                                                  for_moments(site, 7200)))
        before = site.run()
        for _ in range(20):
            site.due()
            before = site.renewed(before)
            site.until(lambda: no_key_is_left_over(site, "web"))


def test_more_renewals_by_hand_than_a_key_has_generations():
    with Site() as site:
        before = site.run()
        for _ in range(10):
            site.cli("cert", "renew", "web", "--root", site.dir)
            before = site.renewed(before)
        states = sorted(site.generations("web").values())
        assert states == ["current"] + 7 * ["retiring"]
        assert site.log().count("is gone before its time") == 3
        site.advance(1.1 * DAY)
        site.until(lambda: list(site.generations("web").values()) == ["current"])


@pytest.mark.parametrize("code", [202, 429, 503])
def test_server_that_says_when(code):
    """Then, and not when the retry of days is over; whatever it has said before."""
    with Site() as site:
        before = site.run()
        site.server.handlers["simplereenroll"] = lambda r: reply(code, Retry_After=120)
        site.due()
        for n in range(2, 5):
            site.until(lambda: site.credential("web")["attempts"] == n - 1)
            entry = site.credential("web")
            assert entry["state"] == ("pending" if code == 202 else "failed")
            assert 120 <= entry["next"] - entry["last"]["at"] <= 132
            if n == 4:
                site.server.handlers["simplereenroll"] = site.issued
            site.due()
        site.renewed(before)
        assert len(site.posts()) == 5


# ---------------------------------------------------------------- settings

SETTINGS = """
[credential.est]
%(settings)s
"""


def with_settings(text, auth=""):
    """WEB with these in [credential.est]; it has an auth of its own if one is given."""
    return WEB.replace("[credential.renew]", SETTINGS % {"settings": text.replace("%", "%%") + auth} +
                       "[credential.renew]")


def test_bearer_token():
    """A file's first line, told when it is asked for; and never to the log."""
    with Site() as site:
        def wants_it(r):
            if r.headers.get("authorization") != "Bearer W\"X":
                return reply(401, WWW_Authenticate='Bearer realm="x"')
            return site.issued(r)
        site.server.handlers["simpleenroll"] = wants_it
        path = site.file("token", 'W"X\n')
        site.run(with_settings('token_file = "%s"' % path))
        assert [r.headers.get("authorization") for r in site.posts()] == [None, 'Bearer W"X']
        assert 'W"X' not in site.log()


def test_user_without_a_name():
    with Site() as site:
        def wants_it(r):
            if r.headers.get("authorization") != "Basic " + base64.b64encode(b":x").decode():
                return reply(401, WWW_Authenticate='Basic realm="x"')
            return site.issued(r)
        site.server.handlers["simpleenroll"] = wants_it
        site.run(with_settings('username = ""\npassword = "x"'))


def test_what_is_tolerated():
    other = Cert("web.other").subject
    with Site() as site:
        site.server.handlers["simpleenroll"] = lambda r: site.issued(r, subject=other)
        site.apply(WEB % dict(trust=site.trust, url=site.url))
        site.start_broker()
        site.start_agent()
        assert "another subject" in site.failed("answer")
        words = 'tolerate = ["subject", "subject", "eku", "subject"]'  # the last of them counts, too
        site.apply(with_settings(words) % dict(trust=site.trust, url=site.url))
        site.wake()
        site.until(lambda: site.credential("web")["state"] == "ok")
        assert site.cert("web").subject == other


@pytest.mark.parametrize("word", ["auto", "ignore"])
def test_wishes_are_ignored(word):
    with Site() as site:
        site.run(with_settings('csrattrs = "%s"' % word))
        assert ("csrattrs" in site.server.ops()) == (word == "auto")


def test_ca_certificates_for_others():
    """As they are trusted, newest first, and anew when they have changed."""
    with Site() as site:
        path = os.path.join(site.dir, "given", "ca.pem")
        os.mkdir(os.path.dirname(path))
        before = site.run(with_settings('cacerts_file = "%s"' % path))
        site.until(lambda: os.path.exists(path))
        with open(path) as f:
            assert f.read() == ROOT_CA.pem
        assert os.stat(path).st_mode & 0o777 == 0o644
        site.server.handlers.update(BOTH)
        with open(path + ".~abc123", "w"):
            pass  # as a crash leaves it
        site.due()
        site.renewed(before)
        site.until(lambda: os.stat(path).st_size > len(ROOT_CA.pem))
        with open(path) as f:
            assert sorted(f.read().split("-----BEGIN")) == sorted(
                (ROOT_CA.pem + NEW_ROOT.pem).split("-----BEGIN"))
        assert os.listdir(os.path.dirname(path)) == ["ca.pem"]


def test_a_server_whose_clock_is_a_little_ahead():
    """Its certificate begins in some minutes: that makes no time of ours one that cannot be."""
    with Site() as site:
        since = site.now() - calendar.timegm(NOW.timetuple())  # that is what begins= counts from
        site.server.handlers["simpleenroll"] = lambda r: certs(
            issue(r, ROOT_CA, begins=(since + 240) / DAY, days=90).der)
        site.run()
        site.turn()
        site.turn()  # the status is written at the end of one
        assert site.status()["clock"]["trusted"] and site.credential("web")["renewals"] == 1
        site.set_clock(-200)
        site.turn()
        site.until(lambda: not site.status()["clock"]["trusted"])
