# SPDX-License-Identifier: Apache-2.0
"""Run by tests/matrix on a device of with-device: a handshake for each program, type of key and version
of TLS; prints what came of it as JSON. The other side is always somebody who has never heard of
holdfast, and checks certificate and signature."""
import json
import os
import subprocess
import time

KEYS = {"P-256": "ec-p256", "P-384": "ec-p384", "RSA 2048": "rsa-2048"}
VERSIONS = {"TLS 1.2": "tls1_2", "TLS 1.3": "tls1_3"}
CA = "/root/all.pem"
PLAIN = {"OPENSSL_CONF": "/etc/ssl/plain.cnf"}
FIRST = """.include /etc/ssl/plain.cnf
[openssl_init]
providers = first
[first]
holdfast = one
default = two
[one]
activate = 1
[two]
activate = 1
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


def prepare():
    must("cp /etc/ssl/openssl.cnf /etc/ssl/plain.cnf")
    must("echo .include /usr/share/holdfast/openssl-holdfast.cnf >> /etc/ssl/openssl.cnf")
    write("/etc/ssl/first.cnf", FIRST)
    write("/etc/aziot/config.d/www.toml", PRINCIPAL)
    must("usermod -aG aziotks www-data && holdfast config apply")
    for n, algorithm in enumerate(KEYS.values()):
        must("holdfast key create k%d --algorithm %s && openssl req -x509 -new -key holdfast:k%d -subj "
             "/CN=localhost -addext subjectAltName=DNS:localhost -days 9 -out k%d.pem && holdfast key "
             "reference k%d --out k%d.key && cat k%d.pem k%d.key > k%d.both" % (
                 n, algorithm, *[n] * 7))
    must("openssl req -x509 -newkey rsa:2048 -nodes -keyout soft.key -subj /CN=localhost -addext "
         "subjectAltName=DNS:localhost -days 9 -out soft.pem; chmod 755 /root; cat *.pem > " + CA, PLAIN)


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
        env = {"OPENSSL_CONF": "/etc/ssl/first.cnf"} if "first" in name else {}
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


def main():
    prepare()
    result = []
    servers(result)
    clients(result)
    print(json.dumps({"openssl": sh("openssl version").stdout.split()[1], "handshakes": result}))


main()
