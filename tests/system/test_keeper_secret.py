# SPDX-License-Identifier: Apache-2.0
"""Decryption, agreement and import on a software TPM, with python3-cryptography on the other side."""
import hashlib
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

import tpm2wrap
from keeperlib import (CA, DECRYPT, DERIVE, SIGN, Failed, Key, check, pb,
                       fixture_keeper, fixture_proxy, fixture_rig, fixture_tpm)  # noqa: F401

OAEP = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384,
        "sha512": hashes.SHA512}


def decrypt(keeper, key, data, scheme="rsa-pkcs1", label=b"", version=0, other=0):
    r = pb.KeeperRequest(data=data)
    key.fill(r.decrypt.key)
    r.decrypt.scheme, r.decrypt.label = scheme, label
    r.decrypt.tls_client_version, r.decrypt.tls_negotiated_version = version, other
    return keeper.call(r).secret.data


def derive(keeper, key, point, scheme="ecdh"):
    r = pb.KeeperRequest(data=point)
    key.fill(r.derive.key)
    r.derive.scheme = scheme
    return keeper.call(r).secret.data


def wrap_key(keeper):
    r = pb.KeeperRequest()
    r.wrap.SetInParent()
    return keeper.call(r).wrap


def import_key(keeper, blob, usage=SIGN, format="tss2"):
    r = pb.KeeperRequest(data=blob)
    r.import_key.format, r.import_key.usage = format, usage
    return Key(keeper.call(r).created, usage)


def point_of(key):
    return key.public_key().public_bytes(serialization.Encoding.X962,
                                         serialization.PublicFormat.UncompressedPoint)


def test_decrypt(rig):
    keeper, _ = rig
    key = keeper.create("rsa-2048", DECRYPT)
    public = load_der_public_key(key.spki)
    for n in (0, 1, 48, 245):
        plain = os.urandom(n)
        assert decrypt(keeper, key, public.encrypt(plain, padding.PKCS1v15())) == plain
    for name, md in OAEP.items():
        for label in (None, b"a label", b"\0\0"):
            pad = padding.OAEP(padding.MGF1(md()), md(), label)
            for n in (0, 1, 60):
                plain = os.urandom(n)
                assert decrypt(keeper, key, public.encrypt(plain, pad), "rsa-oaep-" + name,
                               label or b"") == plain


def test_wrong_padding_has_one_answer(rig):
    """Whatever it is that is wrong, the words are the same."""
    keeper, _ = rig
    key = keeper.create("rsa-2048", DECRYPT)
    public = load_der_public_key(key.spki)
    pad = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"x")
    said = set()
    for data, scheme, label in [
            (b"\1" * 256, "rsa-pkcs1", b""),
            (public.encrypt(b"m", pad), "rsa-pkcs1", b""),
            (public.encrypt(b"m", pad), "rsa-oaep-sha256", b"y"),
            (public.encrypt(b"m", pad), "rsa-oaep-sha1", b"x"),
            (public.encrypt(b"m", padding.PKCS1v15()), "rsa-oaep-sha256", b"x")]:
        with pytest.raises(Failed) as f:
            decrypt(keeper, key, data, scheme, label)
        assert f.value.status == "ARGUMENT"
        said.add(f.value.message)
    assert len(said) == 1, said
    with pytest.raises(Failed, match="not a ciphertext for this key"):
        decrypt(keeper, key, b"\xff" * 256)
    with pytest.raises(Failed, match="255 bytes"):
        decrypt(keeper, key, b"\1" * 255)


def test_numbers_at_the_edges(rig):
    """libtpms goes into failure mode when it is asked about a number above the modulus."""
    keeper, proxy = rig
    key = keeper.create("rsa-2048", DECRYPT)
    n = load_der_public_key(key.spki).public_numbers().n
    for number in (0, 1, 2, n - 2, n - 1, n, n + 1, (1 << 2048) - 1):
        proxy.commands.clear()
        with pytest.raises(Failed) as f:
            decrypt(keeper, key, number.to_bytes(256, "big"))
        assert f.value.status == "ARGUMENT", (number, f.value)
        assert ("RSA_Decrypt" in proxy.names()) == (number < n)
        out = decrypt(keeper, key, (number % n).to_bytes(256, "big"), "rsa-pkcs1-tls", version=0x0303)
        assert len(out) == 48


def test_tls_premaster(rig):
    keeper, _ = rig
    key = keeper.create("rsa-2048", DECRYPT)
    public = load_der_public_key(key.spki)
    secret = b"\3\3" + os.urandom(46)
    good = public.encrypt(secret, padding.PKCS1v15())
    assert decrypt(keeper, key, good, "rsa-pkcs1-tls", version=0x0303) == secret
    assert decrypt(keeper, key, good, "rsa-pkcs1-tls", version=0x0301, other=0x0303) == secret
    bad = [(good, 0x0302, 0), (good, 0x0302, 0x0301),
           (public.encrypt(secret[:47], padding.PKCS1v15()), 0x0303, 0),
           (public.encrypt(secret + b"x", padding.PKCS1v15()), 0x0303, 0), (b"\1" * 256, 0x0303, 0)]
    for data, version, other in bad:
        out = [decrypt(keeper, key, data, "rsa-pkcs1-tls", version=version, other=other)
               for _ in range(2)]
        assert len(out[0]) == len(out[1]) == 48 and out[0] != out[1] and secret not in out


@pytest.mark.parametrize("algorithm,curve", [("ec-p256", ec.SECP256R1), ("ec-p384", ec.SECP384R1),
                                             ("ec-p521", ec.SECP521R1)])
def test_derive(rig, algorithm, curve):
    keeper, _ = rig
    key = keeper.create(algorithm, DERIVE)
    for _ in range(40 if algorithm == "ec-p521" else 5):  # leading zeros come and go
        peer = ec.generate_private_key(curve())
        assert derive(keeper, key, point_of(peer)) == peer.exchange(ec.ECDH(),
                                                                    load_der_public_key(key.spki))


def test_points_of_no_curve(rig):
    keeper, proxy = rig
    key = keeper.create("ec-p256", DERIVE)
    point = point_of(ec.generate_private_key(ec.SECP256R1()))
    proxy.commands.clear()
    for wrong in (point[:-1] + bytes([point[-1] ^ 1]), b"\4" + bytes(64), point[:-1], b"\0",
                  b"\4" + b"\xff" * 64, b"\2" + point[1:33],
                  point_of(ec.generate_private_key(ec.SECP384R1()))):
        with pytest.raises(Failed) as f:
            derive(keeper, key, wrong)
        assert f.value.status == "ARGUMENT", f.value
    assert "ECDH_ZGen" not in proxy.names(), "the TPM was asked about a wrong point"


def test_one_command_each_in_one_session(rig):
    keeper, proxy = rig
    rsa, agree = keeper.create("rsa-2048", DECRYPT | SIGN), keeper.create("ec-p256", DERIVE)
    data = load_der_public_key(rsa.spki).encrypt(b"m", padding.PKCS1v15())
    point = point_of(ec.generate_private_key(ec.SECP256R1()))
    decrypt(keeper, rsa, data)
    derive(keeper, agree, point)
    proxy.commands.clear()
    for _ in range(5):
        decrypt(keeper, rsa, data)
        derive(keeper, agree, point)
    assert proxy.names() == ["RSA_Decrypt", "ECDH_ZGen"] * 5
    keeper.sign(rsa, "rsa-pss-sha256", b"d" * 32)
    assert len(proxy.names()) == 11


def test_secrets_do_not_show_on_the_bus(rig):
    keeper, proxy = rig
    rsa, agree = keeper.create("rsa-2048", DECRYPT), keeper.create("ec-p256", DERIVE)
    peer = ec.generate_private_key(ec.SECP256R1())
    plain = os.urandom(32)
    decrypt(keeper, rsa, load_der_public_key(rsa.spki).encrypt(plain, padding.PKCS1v15()))
    secret = derive(keeper, agree, point_of(peer))
    seen = b"".join(request + response for _, request, response in proxy.commands)
    assert plain not in seen and secret not in seen


def test_what_carries_secrets_is_in_a_salted_session(rig):
    keeper, proxy = rig
    rsa, agree = keeper.create("rsa-2048", DECRYPT), keeper.create("ec-p256", DERIVE)
    decrypt(keeper, rsa, load_der_public_key(rsa.spki).encrypt(b"m", padding.PKCS1v15()))
    derive(keeper, agree, point_of(ec.generate_private_key(ec.SECP256R1())))
    import_key(keeper, tpm2wrap.wrap(tpm2wrap.random_key("ec-p256"), wrap_key(keeper).public_key))
    secret = ("RSA_Decrypt", "ECDH_ZGen", "Import", "Create")
    seen = [(name, request) for name, request, _ in proxy.commands if name in secret]
    assert {name for name, _ in seen} == set(secret)
    for name, request in seen:
        handle, attributes = int.from_bytes(request[18:22], "big"), request[22 + 34]
        assert handle >> 24 == 2 and attributes == 0x61, name  # continue, decrypt, encrypt
    for name, request, _ in proxy.commands:
        if name == "StartAuthSession":  # tpmKey is not TPM_RH_NULL, and a salt follows the nonce
            assert request[10:14] != b"\x40\0\0\7" and request[18 + 34:18 + 36] != b"\0\0"


@pytest.mark.parametrize("command", ["RSA_Decrypt", "ECDH_ZGen", "Import"])
def test_somebody_on_the_bus_changes_answers(rig, command):
    """Whichever bit it is: an error, no secret, and it works again when he stops."""
    keeper, proxy = rig
    rsa, agree = keeper.create("rsa-2048", DECRYPT), keeper.create("ec-p256", DERIVE)
    point = point_of(ec.generate_private_key(ec.SECP256R1()))
    sealed = load_der_public_key(rsa.spki).encrypt(b"m", padding.PKCS1v15())
    parent = wrap_key(keeper).public_key

    def use():
        if command == "RSA_Decrypt":
            decrypt(keeper, rsa, sealed)
        elif command == "ECDH_ZGen":
            derive(keeper, agree, point)
        else:
            import_key(keeper, tpm2wrap.wrap(tpm2wrap.random_key("ec-p256"), parent))

    use()
    at = 0

    def change(name, request, response):
        if name != command:
            return response
        changed = bytearray(response)
        changed[at] ^= 1 << at % 8
        return bytes(changed)

    _, _, plain = next(c for c in reversed(proxy.commands) if c[0] == command)
    proxy.change = change
    for at in list(range(10, 16)) + list(range(16, len(plain), 11)) + [len(plain) - 1]:
        with pytest.raises(Failed):
            use()
    proxy.change = None
    use()


def test_usage(rig):
    keeper, _ = rig
    signs, agrees = keeper.create("rsa-2048"), keeper.create("ec-p256", DERIVE)
    with pytest.raises(Failed, match="DENIED"):
        decrypt(keeper, signs, b"\1" * 256)
    with pytest.raises(Failed, match="DENIED"):
        keeper.sign(agrees, "ecdsa-sha256", b"d" * 32)
    with pytest.raises(Failed, match="unknown scheme"):
        derive(keeper, agrees, b"\4" + bytes(64), "rsa-pkcs1")
    signs.usage = DECRYPT  # a broker that errs: the TPM's attributes say no
    with pytest.raises(Failed, match="not made for this"):
        decrypt(keeper, signs, b"\1" * 256)
    signs.usage = CA | DECRYPT
    with pytest.raises(Failed, match="DENIED"):
        decrypt(keeper, signs, b"\1" * 256)


# ------------------------------------------------------------------- import

def test_wrapping_key(rig):
    keeper, _ = rig
    told = wrap_key(keeper)
    assert told.type == "tpm2" and told.parent == 0x40000001
    assert b"\0\x0b" + hashlib.sha256(told.public_key[2:]).digest() == keeper.ping().primary_name


@pytest.mark.parametrize("algorithm", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"])
def test_import_software_key(rig, algorithm):
    keeper, _ = rig
    soft = tpm2wrap.random_key(algorithm)
    key = import_key(keeper, tpm2wrap.wrap(soft, wrap_key(keeper).public_key))
    assert key.spki == soft.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert key.created.algorithm == algorithm and key.created.imported
    scheme = ("ecdsa" if algorithm.startswith("ec") else "rsa-pss") + "-sha256"
    check(key, scheme, b"d" * 32, keeper.sign(key, scheme, b"d" * 32).signature)


def test_imported_keys_decrypt_and_agree(rig):
    keeper, _ = rig
    parent = wrap_key(keeper).public_key
    attributes = tpm2wrap.USER_WITH_AUTH | tpm2wrap.NODA | tpm2wrap.DECRYPT
    soft = tpm2wrap.random_key("rsa-2048")
    key = import_key(keeper, tpm2wrap.wrap(soft, parent, attributes), DECRYPT)
    assert decrypt(keeper, key, soft.public_key().encrypt(b"m", padding.PKCS1v15())) == b"m"
    soft, peer = tpm2wrap.random_key("ec-p256"), tpm2wrap.random_key("ec-p256")
    key = import_key(keeper, tpm2wrap.wrap(soft, parent, attributes), DERIVE)
    assert derive(keeper, key, point_of(peer)) == soft.exchange(ec.ECDH(), peer.public_key())


def test_import_refuses(rig):
    keeper, proxy = rig
    parent = wrap_key(keeper).public_key
    soft = tpm2wrap.random_key("ec-p256")
    good = tpm2wrap.wrap(soft, parent)
    other = tpm2wrap.random_key("ec-p256").public_key().public_numbers()
    elsewhere = parent[:-66] + other.x.to_bytes(32, "big") + b"\0\x20" + other.y.to_bytes(32, "big")
    cases = [
        (tpm2wrap.wrap(soft, elsewhere), SIGN, "GONE", "another TPM"),
        (tpm2wrap.wrap(soft, parent, damage=40), SIGN, "GONE", "damaged"),
        (tpm2wrap.wrap(soft, parent, damage=2), SIGN, "GONE", "damaged"),
        (tpm2wrap.wrap(soft, parent, tpm2wrap.NODA | tpm2wrap.SIGN), SIGN, "UNSUPPORTED", "policy"),
        (tpm2wrap.wrap(soft, parent, handle=0x81000005 & 0x7fffffff), SIGN, "UNSUPPORTED", "parent"),
        (good, DERIVE, "ARGUMENT", "signing only"),
        (good, DECRYPT, "ARGUMENT", ""),
        (good[:-1], SIGN, "CORRUPT", ""),
        (good + b"\0", SIGN, "CORRUPT", ""),
        (b"", SIGN, "CORRUPT", ""),
        (os.urandom(300), SIGN, "CORRUPT", ""),
    ]
    for blob, usage, status, word in cases:
        with pytest.raises(Failed) as f:
            import_key(keeper, blob, usage)
        assert f.value.status == status and word in f.value.message, f.value
    with pytest.raises(Failed, match="not as 'kwp'"):
        import_key(keeper, good, format="kwp")
    import_key(keeper, good)


def test_import_of_our_own_file(rig):
    """A backup that comes back to the TPM that made it: nothing has been in software."""
    keeper, _ = rig
    key = keeper.create("ec-p256")
    again = import_key(keeper, key.blob)
    assert again.spki == key.spki and not again.created.imported
    check(again, "ecdsa-sha256", b"d" * 32, keeper.sign(again, "ecdsa-sha256", b"d" * 32).signature)


def test_import_of_tpm2_openssl_keys(tpm, keeper, tmp_path):
    """What tpm2-openssl made in this TPM works here, and counts as made in hardware."""
    env = dict(os.environ, TPM2OPENSSL_TCTI=tpm.tcti, OPENSSL_CONF="/dev/null")
    for name, options in (("ec", ["EC", "-pkeyopt", "group:P-256"]),
                          ("rsa", ["RSA", "-pkeyopt", "bits:2048"])):
        subprocess.run(["openssl", "genpkey", "-provider", "tpm2", "-provider", "default",
                        "-propquery", "?provider=tpm2", "-algorithm", *options, "-out", name],
                       env=env, cwd=tmp_path, check=True, timeout=60)
    keeper.open(tpm)
    for name, scheme in (("ec", "ecdsa-sha256"), ("rsa", "rsa-pkcs1-sha256")):
        key = import_key(keeper, (tmp_path / name).read_bytes())
        assert not key.created.imported
        check(key, scheme, b"d" * 32, keeper.sign(key, scheme, b"d" * 32).signature)


# ------------------------------------------------------------------- files of other tools

PARENT = 0x81000010
TOOLS = {
    "rsa parent": """
        tpm2_createprimary -Q -C o -G rsa -c p
        tpm2_evictcontrol -Q -C o -c p {parent}
        tpm2_create -Q -C {parent} -G rsa2048 -u pub -r priv
        tpm2_encodeobject -C {parent} -u pub -r priv -o key""",
    "ecc parent, sha384": """
        tpm2_createprimary -Q -C o -G ecc -c p
        tpm2_evictcontrol -Q -C o -c p {parent}
        tpm2_create -Q -C {parent} -g sha384 -G ecc256 -u pub -r priv
        tpm2_encodeobject -C {parent} -u pub -r priv -o key""",
    "password": """
        tpm2_createprimary -Q -C o -G ecc -c p
        tpm2_evictcontrol -Q -C o -c p {parent}
        tpm2_create -Q -C {parent} -p secret -G ecc256 -u pub -r priv
        tpm2_encodeobject -C {parent} -u pub -r priv -o key""",
    "parent with a password": """
        tpm2_createprimary -Q -C o -G ecc -p secret -c p
        tpm2_evictcontrol -Q -C o -c p {parent}
        tpm2_create -Q -C {parent} -P secret -G ecc256 -u pub -r priv
        tpm2_encodeobject -C {parent} -P secret -u pub -r priv -o key""",
    "not a parent": """
        tpm2_createprimary -Q -C o -G ecc -c p
        tpm2_create -Q -C p -G ecc256 -u pub -r priv -c k
        tpm2_evictcontrol -Q -C o -c k {parent}
        tpm2_encodeobject -C p -u pub -r priv -o key""",
    "endorsement": """
        tpm2_createprimary -Q -C e -G ecc -c p -a restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda
        tpm2_create -Q -C p -G ecc256 -u pub -r priv
        tpm2_encodeobject -C p -u pub -r priv -o key""",
}


def tools(tpm, where, lines):
    env = dict(os.environ, TPM2TOOLS_TCTI=tpm.tcti, TSS2_LOG="all+NONE", OPENSSL_CONF="/dev/null")
    for line in lines.format(parent=hex(PARENT)).split("\n"):
        for words in (line.split(), *(["tpm2_flushcontext", x] for x in ("-t", "-l", "-s"))):
            if words:
                subprocess.run(words, env=env, cwd=where, check=True, timeout=60)
    return (where / "pub").read_bytes(), (where / "priv").read_bytes()


def test_import_below_a_persistent_key(tpm, keeper, proxy, tmp_path):
    """tpm2_encodeobject 5.4 writes emptyAuth FALSE for a key without a password."""
    tools(tpm, tmp_path, TOOLS["rsa parent"])
    keeper.open(proxy)
    key = import_key(keeper, (tmp_path / "key").read_bytes(), SIGN | DECRYPT)
    assert key.created.outside and not key.created.imported
    check(key, "rsa-pss-sha256", b"d" * 32, keeper.sign(key, "rsa-pss-sha256", b"d" * 32).signature)
    sealed = load_der_public_key(key.spki).encrypt(b"m", padding.PKCS1v15())
    assert decrypt(keeper, key, sealed) == b"m"
    proxy.commands.clear()
    keeper.sign(key, "rsa-pkcs1-sha256", b"d" * 32)
    assert proxy.names() == ["Sign"]
    keeper.close()
    tools(tpm, tmp_path, "tpm2_evictcontrol -Q -C o -c {parent}")
    again = type(keeper)()
    again.open(tpm)
    with pytest.raises(Failed, match="GONE.*0x81000010"):
        again.sign(key, "rsa-pkcs1-sha256", b"d" * 32)
    with pytest.raises(Failed, match="GONE.*0x81000010"):
        import_key(again, (tmp_path / "key").read_bytes())
    key = again.create("ec-p256")  # and nothing else has suffered
    again.sign(key, "ecdsa-sha256", b"d" * 32)
    again.close()
    assert tpm.objects() == [] and tpm.sessions() == []


@pytest.mark.parametrize("case,status,word", [
    ("ecc parent, sha384", "UNSUPPORTED", "SHA-256"),
    ("password", "UNSUPPORTED", "wants a password"),
    ("parent with a password", "UNSUPPORTED", "0x81000010, has a password"),
    ("not a parent", "UNSUPPORTED", "not a storage key")])
def test_files_of_tools_that_are_refused(tpm, keeper, tmp_path, case, status, word):
    public, private = tools(tpm, tmp_path, TOOLS[case])
    keeper.open(tpm)
    with pytest.raises(Failed) as f:
        import_key(keeper, tpm2wrap.key_file(public, private, PARENT))
    assert f.value.status == status and word in f.value.message, f.value
    keeper.sign(keeper.create("ec-p256"), "ecdsa-sha256", b"d" * 32)
    keeper.close()
    assert tpm.objects() == [] and tpm.sessions() == [] and tpm.lockout_counter() <= 1


def test_import_below_the_endorsement_hierarchy(tpm, keeper, tmp_path):
    public, private = tools(tpm, tmp_path, TOOLS["endorsement"])
    keeper.open(tpm)
    with pytest.raises(Failed, match="GONE"):
        import_key(keeper, tpm2wrap.key_file(public, private))
    key = import_key(keeper, tpm2wrap.key_file(public, private, 0x4000000b), DERIVE)
    peer = ec.generate_private_key(ec.SECP256R1())
    assert derive(keeper, key, point_of(peer)) == peer.exchange(ec.ECDH(),
                                                                load_der_public_key(key.spki))
    keeper.close()
    assert tpm.objects() == [] and tpm.sessions() == []


@pytest.mark.parametrize("handle,word", [(0x40000007, "null hierarchy"), (0x4000000c, "platform"),
                                         (0x80000001, "0x80000001"), (0x81123456, "removed")])
def test_parents_that_are_not_used(rig, handle, word):
    keeper, _ = rig
    ours = keeper.create("ec-p256")
    blob = tpm2wrap.wrap(tpm2wrap.random_key("ec-p256"), wrap_key(keeper).public_key, handle=handle)
    with pytest.raises(Failed, match=word):
        import_key(keeper, blob)
    keeper.sign(ours, "ecdsa-sha256", b"d" * 32)


def test_the_parents_name_is_compared(rig):
    keeper, _ = rig
    parent = wrap_key(keeper).public_key
    name = keeper.ping().primary_name
    rsa_parent = tpm2wrap.der(0xa5, b"\1\1\xff")
    for more, word in [((tpm2wrap.der(0xa6, tpm2wrap.der(4, name)),), None),
                       ((tpm2wrap.der(0xa6, tpm2wrap.der(4, b"\0\x22" + name)),), None),
                       ((tpm2wrap.der(0xa6, tpm2wrap.der(4, name[:-1] + b"x")),), "its Name"),
                       ((tpm2wrap.der(0xa6, tpm2wrap.der(4, b"x")),), "its Name"),
                       ((rsa_parent,), "RSA primary"),
                       ((tpm2wrap.der(0xa4, b"\x0c\3key"), tpm2wrap.der(0xbe, b"later")), None)]:
        blob = tpm2wrap.wrap(tpm2wrap.random_key("ec-p256"), parent, more=more)
        if word:
            with pytest.raises(Failed, match=word):
                import_key(keeper, blob)
        else:
            import_key(keeper, blob)


def test_a_key_that_does_not_work_is_not_imported(rig):
    """It loads, and its file says that it has no password."""
    keeper, proxy = rig
    parent = wrap_key(keeper).public_key
    for usage, attribute, algorithm in ((SIGN, tpm2wrap.SIGN, "ec-p256"),
                                        (DERIVE, tpm2wrap.DECRYPT, "ec-p256"),
                                        (DECRYPT, tpm2wrap.DECRYPT, "rsa-2048")):
        blob = tpm2wrap.wrap(tpm2wrap.random_key(algorithm), parent, password=b"secret",
                             attributes=tpm2wrap.USER_WITH_AUTH | tpm2wrap.NODA | attribute)
        with pytest.raises(Failed, match="wants a password"):
            import_key(keeper, blob, usage)
    assert "Load" in proxy.names()


def test_export_opens_in_tpm2_openssl(tpm, keeper, tmp_path):
    """Whatever a key's way into the catalogue was: its file is one that others read."""
    keeper.open(tpm)
    soft = tpm2wrap.random_key("rsa-2048")
    keys = {"made": keeper.create("ec-p256"), "agrees": keeper.create("ec-p256", DERIVE | SIGN),
            "wrapped": import_key(keeper, tpm2wrap.wrap(soft, wrap_key(keeper).public_key))}
    keeper.close()
    env = dict(os.environ, TPM2OPENSSL_TCTI=tpm.tcti, OPENSSL_CONF="/dev/null")
    for name, key in keys.items():
        (tmp_path / name).write_bytes(key.blob)
        out = subprocess.run(["openssl", "pkey", "-provider", "tpm2", "-provider", "default",
                              "-propquery", "?provider=tpm2", "-in", name, "-pubout", "-outform", "DER"],
                             env=env, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        assert out.stdout == key.spki, name
