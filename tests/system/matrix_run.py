# SPDX-License-Identifier: Apache-2.0
"""Run by tests/matrix on a device of with-device: a handshake for each program, type of key and version
of TLS, each operation in each order of providers, and what speaks PKCS#11; prints what came of it as
JSON. The other side is always somebody who has never heard of holdfast, and checks certificate and
signature. What a TPM does not have is in SoftHSM."""
import json
import os
import subprocess
import time

# The token, and what genpkey is told.
KEYS = {"P-256": ("tpm", "-algorithm EC -pkeyopt group:P-256"),
        "P-384": ("tpm", "-algorithm EC -pkeyopt group:P-384"),
        "P-521": ("hsm", "-algorithm EC -pkeyopt group:P-521"),
        "RSA 2048": ("tpm", "-algorithm RSA -pkeyopt bits:2048"),
        "RSA 3072": ("hsm", "-algorithm RSA -pkeyopt bits:3072"),
        "RSA-PSS": ("tpm", "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048"),
        "Ed25519": ("hsm", "-algorithm ED25519")}
USAGE = {"P": "sign,derive", "R": "sign,decrypt", "E": "sign"}
VERSIONS = {"TLS 1.2": "tls1_2", "TLS 1.3": "tls1_3"}
CA = "/root/all.pem"
PLAIN = {"OPENSSL_CONF": "/etc/ssl/plain.cnf"}
ORDER = """.include /etc/ssl/plain.cnf
[openssl_init]
providers = mine
[mine]
%s
[active]
activate = 1
"""
ORDERS = {"as shipped": None, "default first": "default holdfast", "holdfast first": "holdfast default",
          "beside tpm2-openssl": "default holdfast tpm2"}
HSM = """cat > /etc/softhsm-holdfast.conf <<END
directories.tokendir = /var/lib/holdfast/hsm
objectstore.backend = file
END
mkdir -p /etc/holdfast && install -d -o aziotks -g aziotks -m 0700 /var/lib/holdfast/hsm
install -o aziotks -m 0400 <(echo 1234) /etc/holdfast/hsm.pin
SOFTHSM2_CONF=/etc/softhsm-holdfast.conf runuser -u aziotks -- softhsm2-util --init-token --free --label edge \\
	--pin 1234 --so-pin 12345678
cat > /etc/aziot/config.d/hsm.toml <<END
[[token]]
name = "hsm"
type = "pkcs11"
module = "/usr/lib/softhsm/libsofthsm2.so"
uri = "pkcs11:token=edge"
pin_file = "/etc/holdfast/hsm.pin"
environment = ["SOFTHSM2_CONF=/etc/softhsm-holdfast.conf"]
END
"""
PRINCIPAL = """[[principal]]
user = "www-data"
keys = ["*"]
rights = ["public", "sign"]
"""


def sh(command, env=None, **more):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, cwd="/root",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=60, env=dict(os.environ, **(env or {})), **more)


def must(command, env=None):
    done = sh(command, env)
    if done.returncode:
        raise SystemExit("matrix: %s\n%s" % (command, done.stdout))


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def start(command, env=None):
    subprocess.Popen(["bash", "-c", "exec " + command], stdin=subprocess.DEVNULL, cwd="/root",
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     env=dict(os.environ, **(env or {})))


def conf(order):
    return {"OPENSSL_CONF": "/etc/ssl/%s.cnf" % order.replace(" ", "-"),
            "TPM2OPENSSL_TCTI": "swtpm:path=/run/swtpm/theirs"} if ORDERS[order] else {}


def generate(n, name, out):
    token, what = KEYS[list(KEYS)[n]]
    return ("openssl genpkey -propquery provider=holdfast %s -pkeyopt holdfast-key:%s -pkeyopt holdfast-token:%s "
            "-pkeyopt holdfast-usage:%s -out %s" % (what, name, token, USAGE[list(KEYS)[n][0]] if "PSS" not in what
                                                    else "sign", out))


def prepare():
    must("cp /etc/ssl/openssl.cnf /etc/ssl/plain.cnf")
    must("echo .include /usr/share/holdfast/openssl-holdfast.cnf >> /etc/ssl/openssl.cnf")
    for order, names in ORDERS.items():
        if names:
            write(conf(order)["OPENSSL_CONF"], ORDER % "\n".join(n + " = active" for n in names.split()))
    must("mkdir -m 700 /run/swtpm/their-state")
    start("swtpm socket --tpm2 --tpmstate dir=/run/swtpm/their-state --server type=unixio,path=/run/swtpm/theirs "
          "--ctrl type=unixio,path=/run/swtpm/theirs.ctrl --flags not-need-init,startup-clear")
    must(HSM)
    write("/etc/aziot/config.d/www.toml", PRINCIPAL)
    must("usermod -aG aziotks www-data && holdfast config apply")
    for n in range(len(KEYS)):
        must(generate(n, "k%d" % n, "k%d.key" % n))
        must("openssl req -x509 -new -key k%d.key -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 9 "
             "-out k%d.pem && cat k%d.pem k%d.key > k%d.both && openssl pkey -in k%d.key -pubout -out k%d.pub" % (
                 (n,) * 7))
    must("openssl req -x509 -newkey rsa:2048 -nodes -keyout soft.key -subj /CN=localhost -addext "
         "subjectAltName=DNS:localhost -days 9 -out soft.pem; chmod 755 /root; cat *.pem > " + CA + "; "
         "openssl req -new -key soft.key -subj /CN=leaf -out soft.csr; echo 'some words' > words", PLAIN)
    write("/root/ca.cnf", "[ca]\ndefault_ca = c\n[c]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\n"
          "default_md = %s\ndefault_days = 2\ndefault_crl_days = 2\npolicy = p\n[p]\ncommonName = supplied\n")


def each(text):
    """For each key, with its number and its port: %(n)d and %(port)d."""
    return "".join(text % {"n": n, "port": 1000 + n} for n in range(len(KEYS)))


PYTHON_SERVER = """
import ssl, socketserver, sys
class H(socketserver.BaseRequestHandler):
    def handle(self):
        self.server.context.wrap_socket(self.request, server_side=True).recv(1)
class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
S.context.load_cert_chain("k%s.pem" % sys.argv[1], "k%s.key" % sys.argv[1])
S(("127.0.0.1", 1000 + int(sys.argv[1])), H).serve_forever()
"""
PYTHON_CLIENT = """
import ssl, socket, sys
c = ssl.create_default_context(cafile="all.pem")
c.minimum_version = c.maximum_version = {"tls1_2": ssl.TLSVersion.TLSv1_2, "tls1_3": ssl.TLSVersion.TLSv1_3}[sys.argv[2]]
c.load_cert_chain("k%s.pem" % sys.argv[1], "k%s.key" % sys.argv[1])
s = c.wrap_socket(socket.create_connection(("localhost", 2000)), server_hostname="localhost")
s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
assert b"200" in s.recv(100)
"""

S_SERVER = "openssl s_server -accept %(port)d -cert k%(n)d.pem -key k%(n)d.key -quiet -www"
SERVERS = {
    "nginx": ("nginx.conf", "user www-data;\nerror_log /root/n.log;\nevents { }\nhttp {\naccess_log off;\n%s}\n",
              "server { listen 127.0.0.1:%(port)d ssl; ssl_certificate /root/k%(n)d.pem; "
              "ssl_certificate_key /root/k%(n)d.key; ssl_protocols TLSv1.2 TLSv1.3; }\n",
              "nginx -c /root/nginx.conf -g 'daemon off;'"),
    "Apache httpd": ("apache.conf", "ServerRoot /root\nPidFile /root/a.pid\nServerName localhost\nUser www-data\n"
                     "Group www-data\nErrorLog /root/a.log\nLoadModule mpm_event_module /usr/lib/apache2/modules/"
                     "mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n"
                     "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n%s",
                     "Listen 127.0.0.1:%(port)d\n<VirtualHost 127.0.0.1:%(port)d>\nSSLEngine on\n"
                     "SSLCertificateFile /root/k%(n)d.pem\nSSLCertificateKeyFile /root/k%(n)d.key\n</VirtualHost>\n",
                     "apache2 -f /root/apache.conf -DFOREGROUND"),
    "haproxy": ("haproxy.cfg", "defaults\n mode http\n timeout client 9s\n timeout connect 9s\n timeout server 9s\n%s",
                "frontend f%(n)d\n bind 127.0.0.1:%(port)d ssl crt /root/k%(n)d.both ssl-min-ver TLSv1.2\n"
                " http-request return status 200\n",
                "haproxy -W -f /root/haproxy.cfg"),
    "stunnel": ("stunnel.conf", "foreground = yes\npid =\n%s",
                "[s%(n)d]\naccept = 127.0.0.1:%(port)d\nexec = /bin/true\nexecArgs = true\ncert = /root/k%(n)d.pem\n"
                "key = /root/k%(n)d.key\n", "stunnel4 /root/stunnel.conf"),
    "mosquitto": ("mosquitto.conf", "user root\nallow_anonymous true\nper_listener_settings false\n%s",
                  "listener %(port)d localhost\ncertfile /root/k%(n)d.pem\nkeyfile /root/k%(n)d.key\n",
                  "mosquitto -c /root/mosquitto.conf"),
    "openssl s_server": (None, None, None, S_SERVER),
    "Python ssl": (None, None, None, "/usr/bin/python3 /root/server.py %(n)d"),
    "openssl s_server, holdfast listed first": (None, None, None, S_SERVER),
}
CHECK = ("openssl s_client -connect localhost:%(port)d -CAfile k%(n)d.pem -verify_return_error "
         "-verify_hostname localhost -%(version)s < /dev/null 2>&1 | grep -F 'Verification: OK'")
GNUTLS = ("echo | gnutls-cli --x509cafile k%(n)d.pem --priority NORMAL:-VERS-ALL:+%(gnutls)s -p %(port)d "
          "localhost 2>&1 | grep -E 'Status: The certificate is trusted' ")
CLIENTS = {
    "openssl s_client": "openssl s_client -connect localhost:2000 -CAfile all.pem -verify_return_error -cert "
                        "k%(n)d.pem -key k%(n)d.key -%(version)s -ign_eof <<< $'GET / HTTP/1.0\\r\\n\\r' 2>&1 | "
                        "grep -F '200 ok'",
    "curl": "curl -sS --cacert all.pem --cert k%(n)d.pem --key k%(n)d.key --%(curl)s --tls-max %(max)s "
            "-o /dev/null https://localhost:2000/",
    "Python ssl": "/usr/bin/python3 client.py %(n)d %(version)s",
    "mosquitto_pub": "mosquitto_pub -h localhost -p 2002 --cafile all.pem --cert k%(n)d.pem --key k%(n)d.key "
                     "--tls-version tlsv%(max)s -t x -m y",
}


def variables(n, version):
    number = version.replace("tls1_", "1.")
    return {"n": n, "port": 1000 + n, "version": version, "max": number, "curl": "tlsv" + number,
            "gnutls": "VERS-TLS" + number}


def wait_for(port):
    end = time.monotonic() + 20
    while sh("exec 3<> /dev/tcp/127.0.0.1/%d || exec 3<> /dev/tcp/::1/%d" % (port, port)).returncode:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def stop(pattern):
    """The servers of this device of our own that listen at these ports."""
    out = sh("ss -Hltnp 'sport >= %s and sport <= %s'" % pattern).stdout
    pids = {int(word.split("=")[1].split(",")[0]) for word in out.replace("pid=", " pid=").split()
            if word.startswith("pid=")}
    for pid in pids:
        try:
            os.kill(pid, 15)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 10
    while sh("ss -Hltn 'sport >= %s and sport <= %s'" % pattern).stdout.strip() and time.monotonic() < end:
        time.sleep(0.05)


def servers(result):
    write("/root/server.py", PYTHON_SERVER)
    for name, (path, frame, part, command) in SERVERS.items():
        env = conf("holdfast first") if "first" in name else {}
        if path:
            write("/root/" + path, frame % each(part))
            start(command, env)
        else:
            for n in range(len(KEYS)):
                start(command % variables(n, ""), env)
        for n, key in enumerate(KEYS):
            up = wait_for(1000 + n)
            for version, word in VERSIONS.items():
                with_it = up and sh(CHECK % variables(n, word), PLAIN).returncode == 0
                result.append([name, "server", key, version, with_it])
                if name == "openssl s_server":
                    with_it = sh(GNUTLS % variables(n, word), PLAIN).returncode == 0
                    result.append([name + ", for GnuTLS", "server", key, version, with_it])
        stop((1000, 1009))


def clients(result):
    write("/root/client.py", PYTHON_CLIENT)
    write("/root/peer.conf", "listener 2002 localhost\ncertfile /root/soft.pem\nkeyfile /root/soft.key\n"
          "cafile /root/all.pem\nrequire_certificate true\nallow_anonymous true\nuser root\n")
    start("openssl s_server -accept 2000 -cert soft.pem -key soft.key -CAfile all.pem -Verify 1 "
          "-verify_return_error -www", PLAIN)
    start("gnutls-serv --quiet -p 2001 --x509certfile soft.pem --x509keyfile soft.key --x509cafile all.pem "
          "--require-client-cert --verify-client-cert --http", PLAIN)
    start("mosquitto -c /root/peer.conf", PLAIN)
    for port in (2000, 2001, 2002):
        wait_for(port)
    for name, command in dict(CLIENTS, **{
            "curl, to GnuTLS": CLIENTS["curl"].replace("2000", "2001")}).items():
        for n, key in enumerate(KEYS):
            for version, word in VERSIONS.items():
                done = sh(command % variables(n, word))
                result.append([name, "client", key, version, done.returncode == 0])


PLAINLY = "OPENSSL_CONF=/etc/ssl/plain.cnf openssl "
# First what the operation is, then how somebody else looks at what came of it. For which types: the
# first letters of their names.
OPERATIONS = {
    "req": ("", "openssl req -new -key %(key)s -subj /CN=x -out o.csr", "openssl req -in o.csr -verify -noout"),
    "x509 -CAkey": ("", "openssl x509 -req -in soft.csr -CA k%(n)d.pem -CAkey %(key)s -set_serial 7 -out o.pem",
                    "openssl verify -CAfile k%(n)d.pem o.pem"),
    "ca, and its CRL": ("", "rm -f index.txt*; touch index.txt; ca='openssl ca -config ca.cnf -md %(md)s -cert k%(n)d.pem "
                        "-keyfile %(key)s'; $ca -batch -in soft.csr -notext -out o.pem && $ca -gencrl -out o.crl",
                        "openssl verify -CAfile k%(n)d.pem o.pem && openssl crl -in o.crl -CAfile k%(n)d.pem -noout 2>&1 "
                        "| grep 'verify OK'"),
    "ocsp": ("", PLAINLY + "ocsp -issuer k%(n)d.pem -cert k%(n)d.pem -no_nonce -reqout o.req; : > empty; openssl ocsp -index empty "
             "-CA k%(n)d.pem -rsigner k%(n)d.pem -rkey %(key)s -reqin o.req -respout o.res",
             "openssl ocsp -issuer k%(n)d.pem -cert k%(n)d.pem -no_nonce -respin o.res -CAfile k%(n)d.pem 2>&1 | grep 'verify OK'"),
    "cms -sign": ("", "openssl cms -sign -signer k%(n)d.pem -inkey %(key)s -in words -out o.cms",
                  "openssl cms -verify -in o.cms -CAfile k%(n)d.pem -purpose any"),
    "pkeyutl -sign": ("", "openssl pkeyutl -sign -rawin -inkey %(key)s -in words -out o.sig",
                      "openssl pkeyutl -verify -rawin -pubin -inkey k%(n)d.pub -in words -sigfile o.sig"),
    "cms -decrypt": ("R", PLAINLY + "cms -encrypt -aes256 -in words -out o.cms k%(n)d.pem; "
                     "openssl cms -decrypt -recip k%(n)d.pem -inkey %(key)s -in o.cms -out o.txt",
                     "tr -d '\\r' < o.txt | cmp - words"),
    "pkeyutl -decrypt": ("R", PLAINLY + "pkeyutl -encrypt -pubin -inkey k%(n)d.pub -pkeyopt rsa_padding_mode:oaep -in words "
                         "-out o.enc; openssl pkeyutl -decrypt -inkey %(key)s -pkeyopt rsa_padding_mode:oaep -in o.enc "
                         "-out o.txt", "cmp o.txt words"),
    "pkeyutl -derive": ("P", PLAINLY + "genpkey %(what)s -out peer.key; " + PLAINLY + "pkey -in peer.key -pubout -out "
                        "peer.pub; openssl pkeyutl -derive -inkey %(key)s -peerkey peer.pub -out o.txt",
                        "openssl pkeyutl -derive -inkey peer.key -peerkey k%(n)d.pub -out o.2 && cmp o.txt o.2"),
}


def operations(result):
    for n, (key, (_, what)) in enumerate(KEYS.items()):
        values = {"n": n, "key": "k%d.key" % n, "what": what, "md": "default" if key[0] == "E" else "sha256"}
        for number, order in enumerate(ORDERS):
            for name, (types, do, look) in OPERATIONS.items():
                if types and (key[0] not in types or (types == "R" and "PSS" in key)):
                    continue
                done = sh("rm -f o.*; set -e; " + do % values, conf(order)).returncode == 0
                result.append([name, "command", key, order, done and sh(look % values, PLAIN).returncode == 0])
            name = "g%d%d" % (n, number)
            done = sh(generate(n, name, name + ".key"), conf(order)).returncode == 0
            done = done and sh("openssl req -new -key %s.key -subj /CN=x -out o.csr" % name).returncode == 0
            result.append(["genpkey", "command", key, order,
                           done and sh(OPERATIONS["req"][2], PLAIN).returncode == 0])


ENGINE = """.include /etc/ssl/plain.cnf
[openssl_init]
engines = e
[e]
pkcs11 = p
[p]
engine_id = pkcs11
MODULE_PATH = %s
init = 0
"""
SSH = ("ssh -F /dev/null -o PKCS11Provider=%(module)s -o IdentityAgent=none -o IdentityFile=none -o BatchMode=yes -o "
       "StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o 'ProxyCommand=/usr/sbin/sshd -i -f /dev/null -h "
       "/root/hostkey -o AuthorizedKeysFile=/root/k%(n)d.ssh -o StrictModes=no -o UsePAM=no -o MaxAuthTries=99 -o LogLevel=QUIET' x echo in | "
       "grep in")
MODULE = {
    "OpenSSH, PKCS#11": "ssh-keygen -D %(module)s | grep ' k%(n)d$' > k%(n)d.ssh && " + SSH,
    "libp11's engine": "OPENSSL_CONF=/etc/ssl/engine.cnf openssl pkeyutl -engine pkcs11 -keyform engine -sign -rawin "
                       "-inkey 'pkcs11:token=holdfast;object=k%(n)d' -in words -out o.sig && "
                       + OPERATIONS["pkeyutl -sign"][2],
}


def module(result):
    path = sh("pkg-config --variable=p11_module_path p11-kit-1").stdout.strip() + "/holdfast-pkcs11.so"
    write("/etc/ssl/engine.cnf", ENGINE % path)
    must("ssh-keygen -q -t ed25519 -N '' -f hostkey")
    for name, command in MODULE.items():
        if "libp11" in name:  # up to 0.4.12 it finds no key at all where there is an Ed25519 key
            must("for k in $(holdfast key list | grep -o '^[kg]%d[0-9]*'); do holdfast key delete $k --yes; done"
                 % list(KEYS).index("Ed25519"))
        for n, key in enumerate(KEYS):
            done = sh(command % {"n": n, "module": path}, PLAIN)
            result.append([name, "module", key, "PKCS#11", done.returncode == 0])


def main():
    prepare()
    result = []
    servers(result)
    clients(result)
    operations(result)
    module(result)
    print(json.dumps({"openssl": sh("openssl version").stdout.split()[1], "handshakes": result}))


main()
