# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for `systemctl` and `journalctl` on a device of with-device, which has no systemd: they
read the real unit files with their drop-ins, and start and stop daemons as those say.

What is known: Type=, ExecStartPre=, ExecStart=, ExecReload=, ExecStop=, PIDFile=, User=, Group=,
SupplementaryGroups=, Environment=, EnvironmentFile=, RuntimeDirectory=, StateDirectory=, BindPaths=,
and sockets (ListenSequentialPacket=, ListenStream=), handed over when their service is needed:
at the start of the socket here, not at the first connection. Sandboxing is ignored.
"""

import glob
import grp
import json
import os
import pwd
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STATE, LOGS = "/run/units", "/var/log/units"
FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
           "/usr/lib/systemd/system", "/lib/systemd/system")
NOTICE_SECONDS = 30


class Unknown(Exception):
    pass


def full_name(name):
    return name if re.search(r"\.(service|socket|target|path)$", name) else name + ".service"


def unit_files(name):
    template = re.sub(r"@[^.]+\.", "@.", name)
    main = [os.path.join(d, n) for n in (name, template) for d in FOLDERS
            if os.path.exists(os.path.join(d, n))][:1]
    if not main:
        raise Unknown("Unit %s could not be found." % name)
    return main + sorted((p for n in {name, template} for d in FOLDERS
                          for p in glob.glob(os.path.join(d, n + ".d", "*.conf"))),
                         key=os.path.basename)


class Unit:
    def __init__(self, name):
        self.name = full_name(name)
        self.values = {}
        for path in unit_files(self.name):
            with open(path) as f:
                self.read(f.read())
        self.log = os.path.join(LOGS, self.name)
        self.state_path = os.path.join(STATE, self.name)

    def read(self, text):
        section = ""
        for line in re.sub(r"\\\n", " ", text).splitlines():
            line = line.strip()
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line and line[0] not in "#;":
                key, value = (part.strip() for part in line.split("=", 1))
                values = self.values.setdefault((section, key), [])
                if value:
                    values.append(self.specifiers(value))
                else:  # an empty assignment forgets what was before
                    values.clear()

    def specifiers(self, text):
        instance = re.search(r"@(.+)\.", self.name)
        for letter, value in (("i", instance.group(1) if instance else ""), ("n", self.name)):
            text = text.replace("%" + letter, value)
        return text

    def all(self, key, section="Service"):
        return self.values.get((section, key), [])

    def one(self, key, default="", section="Service"):
        return (self.all(key, section) or [default])[-1]

    def words(self, key, section="Service"):
        return [w for value in self.all(key, section) for w in shlex.split(value)]

    @property
    def state(self):
        try:
            with open(self.state_path) as f:
                return json.load(f)
        except FileNotFoundError:
            return {}

    def set_state(self, **state):
        os.makedirs(STATE, exist_ok=True)
        with open(self.state_path + ".new", "w") as f:
            json.dump(state, f)
        os.rename(self.state_path + ".new", self.state_path)

    @property
    def pid(self):
        pid = self.state.get("pid")
        if self.one("PIDFile") and pid:  # nginx and apache change it when they are upgraded
            pid = read_pid(self.one("PIDFile")) or pid
        return pid if pid and alive(pid) else None

    def active(self):
        return bool(self.pid) or (self.name.endswith(".socket") and bool(self.state))


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def read_pid(path):
    try:
        with open(path) as f:
            return int(f.read() or 0)
    except (OSError, ValueError):
        return 0


def until(what, seconds=NOTICE_SECONDS):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def environment(unit):
    env = {"PATH": PATH, "LANG": "C.UTF-8"}
    for word in unit.words("Environment"):
        env.update([word.split("=", 1)])
    for path in unit.all("EnvironmentFile"):
        if path.startswith("-") and not os.path.exists(path[1:]):
            continue
        with open(path.lstrip("-")) as f:
            for line in f:
                if "=" in line and line.lstrip()[0] not in "#;":
                    key, value = line.strip().split("=", 1)
                    env[key] = "".join(shlex.split(value)) if value[:1] in "'\"" else value
    return env


def command(text, env):
    """(argv, whether failure is ignored). $X is split into words, ${X} is not, as with systemd."""
    prefix = re.match(r"[-@:+!|]*", text).group()
    argv = []
    for word in shlex.split(text[len(prefix):]):
        if re.fullmatch(r"\$\w+", word):
            argv += shlex.split(env.get(word[1:], ""))
        else:
            argv.append(re.sub(r"\$\{?(\w+)\}?", lambda m: env.get(m.group(1), ""), word))
    return argv, "-" in prefix


def identity(unit):
    if not unit.one("User"):
        groups = [grp.getgrnam(g).gr_gid for g in unit.words("SupplementaryGroups")]
        return {"extra_groups": groups} if groups else {}
    user = pwd.getpwnam(unit.one("User"))
    group = grp.getgrnam(unit.one("Group")).gr_gid if unit.one("Group") else user.pw_gid
    extra = os.getgrouplist(user.pw_name, group) + [
        grp.getgrnam(g).gr_gid for g in unit.words("SupplementaryGroups")]
    return {"user": user.pw_uid, "group": group, "extra_groups": sorted(set(extra))}


def bound(unit, argv):
    """argv in a mount namespace where BindPaths= hold."""
    paths = unit.words("BindPaths")
    if not paths:
        return argv
    steps = []
    for word in paths:
        source, target = (word.split(":") + [word])[:2]
        steps.append('mkdir -p %s && mount --bind %s %s' % tuple(
            shlex.quote(w) for w in (target, source, target)))
    return ["unshare", "--mount", "sh", "-c", " && ".join(steps) + ' && exec "$@"', "sh", *argv]


def spawn(unit, argv, env, **more):
    with open(unit.log, "ab") as log:
        return subprocess.Popen(bound(unit, argv), env=env, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, start_new_session=True, cwd="/", **more)


def run_all(unit, key, env, privileged=False):
    for text in unit.all(key):
        argv, ignored = command(text, env)
        who = {} if privileged or "+" in text[:3] else identity(unit)
        if spawn(unit, argv, env, **who).wait() and not ignored:
            return False
    return True


def directories(unit):
    who = identity(unit)
    for kind, base in (("Runtime", "/run/"), ("State", "/var/lib/")):
        for name in unit.words(kind + "Directory"):
            os.makedirs(base + name, exist_ok=True)
            os.chmod(base + name, int(unit.one(kind + "DirectoryMode", "755"), 8))
            os.chown(base + name, who.get("user", 0), who.get("group", 0))


def service_of(unit):
    return Unit(unit.one("Service", unit.name.replace(".socket", ".service"), "Socket"))


def sockets_of(unit):
    """(listening sockets, names) for a service, of all socket units of its that are started."""
    fds, names = [], []
    for path in sorted(glob.glob(STATE + "/*.socket")):
        s = Unit(os.path.basename(path))
        if service_of(s).name != unit.name:
            continue
        for kind, key in ((socket.SOCK_SEQPACKET, "ListenSequentialPacket"),
                          (socket.SOCK_STREAM, "ListenStream")):
            for where in s.all(key, "Socket"):
                fds.append(listen(s, kind, where))
                names.append(s.one("FileDescriptorName", s.name, "Socket"))
    return fds, names


def listen(unit, kind, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    os.chmod(path, int(unit.one("SocketMode", "666", "Socket"), 8))
    os.chown(path, pwd.getpwnam(unit.one("SocketUser", "root", "Socket")).pw_uid,
             grp.getgrnam(unit.one("SocketGroup", "root", "Socket")).gr_gid)
    s.listen(128)
    return s


def pass_sockets(fds, names, env, argv):
    """A shell puts them at 3 and up, and its own process id where the service looks for it."""
    if not fds:
        return argv, ()
    base = 100
    for n, s in enumerate(fds):  # out of the way of the numbers that they will get
        os.dup2(s.fileno(), base + n)
    env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(names))
    moves = "; ".join("exec %d<&%d %d<&-" % (3 + n, base + n, base + n) for n in range(len(fds)))
    return (["bash", "-c", moves + '; export LISTEN_PID=$$; exec "$@"', "sh", *argv],
            tuple(range(base, base + len(fds))))


def start_main(unit, env):
    """The main process, once it is ready; None if it is not going to be."""
    fds, names = sockets_of(unit)
    argv, _ = command(unit.one("ExecStart"), env)
    argv, passed = pass_sockets(fds, names, env, argv)
    kind = unit.one("Type", "simple")
    notify = None
    if kind == "notify":
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(STATE, unit.name + ".notify")
        if os.path.lexists(path):
            os.unlink(path)
        notify.bind(path)
        os.chmod(path, 0o777)
        notify.settimeout(0.02)
        env["NOTIFY_SOCKET"] = path
    process = spawn(unit, argv, env, pass_fds=passed, **identity(unit))
    if kind in ("forking", "oneshot"):
        if process.wait():
            return None
        until(lambda: not unit.one("PIDFile") or read_pid(unit.one("PIDFile")))
        return read_pid(unit.one("PIDFile")) or newest_of(unit)
    end = time.monotonic() + NOTICE_SECONDS
    while notify and time.monotonic() < end:
        try:
            if b"READY=1" in notify.recv(4096):
                return process.pid
        except TimeoutError:
            if process.poll() is not None:
                return None
    if not notify:  # Type=simple: started is all that it promises; one that ends at once is told
        return None if until(lambda: process.poll() is not None, 0.3) else process.pid
    return None


def newest_of(unit):
    """Of a forking service without a PIDFile= here: apache writes one itself."""
    for path in ("/run/%s/%s.pid" % ((unit.name.split(".")[0],) * 2),):
        until(lambda: read_pid(path), 5)
        return read_pid(path)


def do_start(unit):
    if unit.active():
        return True
    if unit.name.endswith(".socket"):
        unit.set_state(started=True)
        return do_start(service_of(unit))
    for name in unit.words("Requires", "Unit"):
        if name.endswith(".socket") and not Unit(name).state:
            Unit(name).set_state(started=True)
    os.makedirs(LOGS, exist_ok=True)
    directories(unit)
    env = environment(unit)
    pid = run_all(unit, "ExecStartPre", env, privileged=False) and start_main(unit, env)
    if pid:
        unit.set_state(pid=pid)
    return bool(pid)


def do_stop(unit):
    pid = unit.pid
    if unit.name.endswith(".socket"):
        do_stop(service_of(unit))
    if pid:
        run_all(unit, "ExecStop", dict(environment(unit), MAINPID=str(pid)))
        if alive(pid):
            os.kill(pid, signal.SIGTERM)
        if not until(lambda: not alive(pid), 10):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(pid))
    if unit.state:
        os.unlink(unit.state_path)
    return True


def do_restart(unit):
    return do_stop(unit) and do_start(unit)


def do_reload(unit):
    if not unit.pid:
        return False
    return run_all(unit, "ExecReload", dict(environment(unit), MAINPID=str(unit.pid)))


VERBS = {
    "start": do_start, "stop": do_stop, "restart": do_restart, "reload": do_reload,
    "try-restart": lambda u: do_restart(u) if u.active() else True,
    "reload-or-restart": lambda u: do_reload(u) if u.active() else do_start(u),
    "try-reload-or-restart": lambda u: do_reload(u) if u.active() else True,
}


def systemctl(args):
    quiet = {"--quiet", "-q"} & set(args)
    now = "--now" in args
    verb, *names = [a for a in args if not a.startswith("-")] or ["list-units"]
    if verb == "daemon-reload":
        return 0
    units = [Unit(name) for name in names]
    if verb == "is-failed":  # whoever is not there was stopped, or never started
        return 1
    if verb in ("is-active", "status", "show"):
        for unit in units:
            said = "active" if unit.active() else "inactive"
            if verb == "show":
                said = "MainPID=%d" % (unit.pid or 0)
            if not quiet:
                print(said)
        return 0 if verb == "show" or all(u.active() for u in units) else 3
    if verb in ("enable", "disable"):
        verb = {"enable": "start", "disable": "stop"}[verb] if now else None
    if verb and verb not in VERBS:
        raise Unknown("this stand-in knows no %s" % verb)
    if verb == "start":
        for unit in units:  # together: a service gets them when it starts
            if unit.name.endswith(".socket") and not unit.active():
                if service_of(unit).active():
                    print("%s: Socket service %s already active, refusing." % (
                        unit.name, service_of(unit).name), file=sys.stderr)
                    return 1
                unit.set_state(started=True)
        units.sort(key=lambda u: u.name.endswith(".service"))
        units += [service_of(u) for u in units if u.name.endswith(".socket")]
    for unit in units:
        if verb and not VERBS[verb](unit):
            print("Job for %s failed.\nSee 'journalctl -u %s' for details." % (
                unit.name, unit.name), file=sys.stderr)
            return 1
    return 0


def journalctl(args):
    for n, arg in enumerate(args):
        if arg in ("-u", "--unit"):
            with open(os.path.join(LOGS, full_name(args[n + 1])), errors="replace") as f:
                sys.stdout.write(f.read())
            return 0
    raise Unknown("this stand-in knows only journalctl -u UNIT")


def main():
    try:
        return {"systemctl": systemctl, "journalctl": journalctl}[sys.argv[1]](sys.argv[2:])
    except Unknown as e:
        print(e, file=sys.stderr)
        return 4


sys.exit(main())
