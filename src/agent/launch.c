/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"

#define JOBS_MAX (HF_CREDENTIALS_MAX + 8)
#define STOP_MS	 10000u

struct job {
	pid_t pid; /* 0: free; its process group as well */
	unsigned serial;
	uint64_t kill_at;
	bool late;
};

struct launcher {
	struct hf_launch_args *args;
	struct job jobs[JOBS_MAX];
	pid_t agent;
	int control, signals, status;
	bool ended;
};

/* In a child: no descriptor but 0, 1 and 2, no signal of ours, and no life after us. */
static void child_begin(pid_t parent, int in, int out)
{
	struct rlimit core = { 0, 0 };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || close_range(3, ~0u, 0))
		_exit(127);
	(void)setrlimit(RLIMIT_CORE, &core);
}

static void run_est(const struct launcher *l, int fd)
{
	char name[] = "holdfast-est", *const argv[] = { name, NULL };

	(void)fd;
	(void)execv(l->args->est, argv);
	(void)dprintf(2, "%s: %s\n", l->args->est, strerror(errno));
	_exit(127);
}

static void become(const char *user)
{
	struct passwd *pw = user[0] ? getpwnam(user) : NULL;

	if (!user[0] || (pw && pw->pw_uid == geteuid()))
		return;
	if (!pw || initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
		(void)dprintf(2, "hook: cannot become the user %s: %s\n", user,
			      pw ? strerror(errno) : "there is none");
		_exit(126);
	}
}

static void run_hook(const struct launcher *l, const struct hf_launch_msg *m)
{
	const struct hf_credential_conf *c =
		hf_agent_settings_find(l->args->settings, m->credential);
	char *argv[HF_COUNT(c->hook.exec) + 1];
	char key[HF_ID_SIZE + 16];
	size_t i;

	if (!c || !c->hook.n_exec)
		_exit(127);
	for (i = 0; i < c->hook.n_exec; i++) {
		argv[i] = strdup(c->hook.exec[i]);
		if (!argv[i])
			_exit(127);
	}
	argv[i] = NULL;
	(void)snprintf(key, sizeof(key), "holdfast:%s", c->key.name);
	(void)clearenv();
	(void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	(void)setenv("HOLDFAST_ID", c->id, 1);
	(void)setenv("HOLDFAST_CERT", c->file, 1);
	(void)setenv("HOLDFAST_KEY", key, 1);
	(void)setenv("HOLDFAST_REFERENCE", c->reference, 1);
	(void)setenv("HOLDFAST_OLD_FINGERPRINT", m->old_fingerprint, 1);
	(void)setenv("HOLDFAST_NEW_FINGERPRINT", m->new_fingerprint, 1);
	(void)setenv("HOLDFAST_MODULES", m->modules, 1);
	become(c->hook.user);
	if (dup2(2, 1) >= 0)
		(void)execv(argv[0], argv);
	(void)dprintf(2, "hook of %s: %s: %s\n", c->id, argv[0], strerror(errno));
	_exit(127);
}

/* Which only root can; else holdfast-trust.path does it. */
static void run_store(void)
{
	char name[] = "holdfast", trust[] = "trust", install[] = "install";
	char *const argv[] = { name, trust, install, NULL };

	(void)clearenv();
	(void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (dup2(2, 1) >= 0)
		(void)execv(HF_CLI_PATH, argv);
	_exit(127);
}

static void answer(const struct launcher *l, unsigned serial, int status, bool late)
{
	struct hf_launch_end end = { serial, status, late };

	if (hf_fd_send(l->control, &end, sizeof(end), -1) != (ssize_t)sizeof(end))
		hf_log(HF_LOG_ERR, "the agent did not hear that a job has ended: %s",
		       strerror(errno));
}

static void start(struct launcher *l, const struct hf_launch_msg *m, int fd)
{
	HF_AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t self = getpid(), pid = -1;
	size_t i;

	for (i = 0; i < JOBS_MAX && l->jobs[i].pid; i++)
		;
	if (i < JOBS_MAX && null >= 0)
		pid = fork();
	if (pid == 0) {
		child_begin(self, fd >= 0 ? fd : null, fd >= 0 ? fd : null);
		if (m->kind == HF_LAUNCH_EST)
			run_est(l, fd);
		if (m->kind == HF_LAUNCH_HOOK)
			run_hook(l, m);
		run_store();
	}
	if (pid < 0) {
		hf_log(HF_LOG_ERR, "cannot start a job of %s: %s", m->credential, strerror(errno));
		answer(l, m->serial, -1, false);
		return;
	}
	l->jobs[i] = (struct job){ pid, m->serial, hf_now_ms() + m->timeout_ms, false };
}

static void hear_agent(struct launcher *l)
{
	struct hf_launch_msg m;
	int fd = -1;
	ssize_t n = hf_fd_recv(l->control, &m, sizeof(m), &fd);
	bool good = n == (ssize_t)sizeof(m) && !m.credential[sizeof(m.credential) - 1] &&
		    !m.old_fingerprint[64] && !m.new_fingerprint[64] &&
		    !m.modules[sizeof(m.modules) - 1] && m.kind >= HF_LAUNCH_EST &&
		    m.kind <= HF_LAUNCH_STORE && (m.kind == HF_LAUNCH_EST) == (fd >= 0) &&
		    m.timeout_ms <= 86400000;

	if (good)
		start(l, &m, fd);
	else if (n > 0)
		hf_log(HF_LOG_ERR, "a request of the agent that is none; ignored");
	else if (n == 0)
		hf_fd_close(&l->control);
	hf_fd_close(&fd);
}

static void reap(struct launcher *l)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == l->agent) {
			l->ended = true;
			l->status = status;
			continue;
		}
		for (i = 0; i < JOBS_MAX; i++) {
			if (l->jobs[i].pid != pid)
				continue;
			(void)kill(-pid, SIGKILL); /* what it left running */
			l->jobs[i].pid = 0;
			answer(l, l->jobs[i].serial, status, l->jobs[i].late);
		}
	}
}

static void reload(struct launcher *l)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_agent_settings *fresh = hf_agent_settings_load(l->args->config, &err);

	if (fresh) {
		hf_agent_settings_free(l->args->settings);
		l->args->settings = fresh;
	}
	(void)kill(l->agent, SIGHUP); /* which says what is wrong with it */
}

static void hear_signal(struct launcher *l)
{
	struct signalfd_siginfo s;

	if (read(l->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return;
	if (s.ssi_signo == SIGHUP)
		reload(l);
	else if (s.ssi_signo != SIGCHLD)
		(void)kill(l->agent, SIGTERM);
	reap(l);
}

/* Kills what is late. Milliseconds to the next deadline, or -1. */
static int deadlines(struct launcher *l)
{
	uint64_t now = hf_now_ms(), first = UINT64_MAX;
	size_t i;

	for (i = 0; i < JOBS_MAX; i++) {
		struct job *j = &l->jobs[i];

		if (!j->pid)
			continue;
		if (j->kill_at <= now && !j->late) {
			j->late = true;
			(void)kill(-j->pid, SIGKILL);
			(void)kill(j->pid, SIGKILL);
		} else if (!j->late && j->kill_at < first) {
			first = j->kill_at;
		}
	}
	return first == UINT64_MAX ? -1 : (int)(first - now);
}

static void serve(struct launcher *l)
{
	while (!l->ended) {
		struct pollfd p[2] = { { .fd = l->signals, .events = POLLIN },
				       { .fd = l->control, .events = POLLIN } };

		if (poll(p, 2, deadlines(l)) <= 0)
			continue;
		if (p[1].revents)
			hear_agent(l);
		if (p[0].revents)
			hear_signal(l);
	}
}

static int exit_code(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	hf_log(HF_LOG_ERR, "the agent was killed by signal %d (%s)", WTERMSIG(status),
	       strsignal(WTERMSIG(status)));
	return 1;
}

int hf_launch_main(struct hf_launch_args *a)
{
	struct launcher l = { .args = a, .control = -1, .signals = -1 };
	pid_t self = getpid();
	sigset_t mask;
	int ends[2];
	size_t i;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	l.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l.signals < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		hf_log(HF_LOG_ERR, "cannot start: %s", strerror(errno));
		return 1;
	}
	l.agent = fork();
	if (l.agent == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(1);
		(void)close(ends[0]);
		(void)close(l.signals);
		exit(a->agent(a->settings, ends[1], a->arg));
	}
	(void)close(ends[1]);
	l.control = ends[0];
	if (l.agent > 0)
		serve(&l);
	for (i = 0; i < JOBS_MAX; i++)
		if (l.jobs[i].pid)
			(void)kill(-l.jobs[i].pid, SIGKILL);
	hf_fd_close(&l.control);
	hf_fd_close(&l.signals);
	hf_agent_settings_free(a->settings);
	return l.agent < 0 ? 1 : exit_code(l.status);
}
