/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "base/systemd.h"
#include "broker/confined.h"
#include "broker/launch.h"

#define STOP_MS		    5000u
#define DELAY_MIN_MS	    50u
#define DELAY_MAX_MS	    5000u
#define BROKER_DELAY_MAX_MS 500u   /* of the one that everybody waits for */
#define STEADY_MS	    10000u /* lived this long: the next death is a new story */
#define SEATS		    (HF_TOKENS_MAX * HF_WORKERS_MAX)

/* A child: the broker or one keeper. */
struct child {
	pid_t pid;	    /* 0: not running */
	uint64_t born, due; /* due: when to start it (again), 0: now */
	unsigned delay;
	bool replaced; /* the broker has asked for its end */
	uint32_t serial;
};

struct warden {
	struct hf_warden_args *args;
	struct child broker, keepers[SEATS];
	int control, signals, ready_fd;
	bool stopping;
	uint64_t stop_by;
	uint64_t keepers_by; /* of a broker that died: what is left of them is killed then */
};

void hf_warden_kill(int control, enum hf_warden_kind how, uint32_t seat, uint32_t serial)
{
	struct hf_warden_msg m = { how, seat, serial };

	(void)hf_fd_send(control, &m, sizeof(m), -1);
}

void hf_warden_ready(int control)
{
	struct hf_warden_msg m = { HF_WARDEN_READY, 0, 0 };

	(void)hf_fd_send(control, &m, sizeof(m), -1);
}

/* The token of a seat; NULL: nobody sits there. */
static const struct hf_token_conf *token_of(const struct warden *w, size_t seat)
{
	const struct hf_settings *s = w->args->settings;
	size_t i = seat / HF_WORKERS_MAX;

	return i < s->n_tokens && seat % HF_WORKERS_MAX < s->tokens[i].workers ? &s->tokens[i]
									       : NULL;
}

/* In a child, first thing: it must not outlive the warden. */
static void die_with_parent(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void died(struct child *c, const char *name, int status, unsigned delay_max)
{
	uint64_t now = hf_now_ms();

	if (WIFSIGNALED(status))
		hf_log(HF_LOG_ERR, "%s was killed by signal %d (%s); starting another", name,
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		hf_log(HF_LOG_ERR, "%s ended with %d; starting another", name, WEXITSTATUS(status));
	c->pid = 0;
	if (now - c->born > STEADY_MS || c->replaced)
		c->delay = 0;
	c->replaced = false;
	c->due = now + c->delay;
	c->delay = c->delay ? c->delay * 2 : DELAY_MIN_MS;
	if (c->delay > delay_max)
		c->delay = delay_max;
}

static void start_keeper(struct warden *w, size_t i)
{
	struct child *c = &w->keepers[i];
	struct hf_warden_msg m = { HF_WARDEN_KEEPER, (uint32_t)i, ++c->serial };
	pid_t self = getpid(), pid;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		hf_log(HF_LOG_ERR, "socketpair: %s", strerror(errno));
		c->due = hf_now_ms() + DELAY_MAX_MS;
		return;
	}
	pid = fork();
	if (pid == 0) {
		die_with_parent(self);
		hf_launch_keeper(w->args->keeper, ends[1], token_of(w, i),
				 w->args->settings->state_dir, w->args->unconfined);
	}
	(void)close(ends[1]);
	c->born = hf_now_ms();
	c->due = pid < 0 ? c->born + DELAY_MAX_MS : 0;
	c->pid = pid < 0 ? 0 : pid;
	if (pid > 0)
		(void)hf_fd_send(w->control, &m, sizeof(m), ends[0]);
	(void)close(ends[0]);
}

/*
 * A broker that starts again has to get the policy that its predecessor had last: what was revoked
 * must not come back with a crash. While there is one, it says itself what is wrong with the file.
 */
static void renew_settings(struct warden *w)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_settings *fresh;
	bool restart;

	fresh = hf_settings_reload(w->args->config, w->args->settings, &restart, &err);
	if (fresh) {
		hf_settings_free(w->args->settings);
		w->args->settings = fresh;
	} else if (!w->broker.pid) {
		hf_log(HF_LOG_ERR, "%s; the settings that were loaded last stay in force", err.msg);
	}
}

static void start_broker(struct warden *w)
{
	const struct hf_warden_args *a = w->args;
	pid_t self = getpid(), pid;
	int ends[2];
	size_t i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		hf_log(HF_LOG_ERR, "socketpair: %s", strerror(errno));
		w->broker.due = hf_now_ms() + DELAY_MAX_MS;
		return;
	}
	if (w->broker.born)
		renew_settings(w);
	pid = fork();
	if (pid == 0) {
		die_with_parent(self);
		(void)close(ends[0]);
		(void)close(w->signals);
		hf_fd_close(&w->ready_fd);
		for (i = 0; i < a->listeners->n_made; i++)
			(void)close(a->listeners->made[i].lock);
		exit(hf_broker_main(a->settings, a->config, !a->unconfined, a->listeners->each,
				    a->listeners->n, ends[1]));
	}
	(void)close(ends[1]);
	w->broker.born = hf_now_ms();
	w->broker.due = pid < 0 ? w->broker.born + DELAY_MAX_MS : 0;
	w->broker.pid = pid < 0 ? 0 : pid;
	w->control = ends[0];
	(void)fcntl(w->control, F_SETFL, O_NONBLOCK);
}

static void kill_child(const struct child *c, int sig)
{
	if (c->pid > 0)
		(void)kill(c->pid, sig);
}

/* Without its broker a keeper sees the end of its socket, flushes the TPM and ends. */
static void broker_died(struct warden *w, int status)
{
	hf_fd_close(&w->control);
	/* Each ends by itself now, but for one that is in a call of its module. */
	w->keepers_by = hf_now_ms() + STOP_MS;
	if (w->stopping)
		w->broker.pid = 0;
	else
		died(&w->broker, "the broker", status, BROKER_DELAY_MAX_MS);
}

static void reap(struct warden *w)
{
	char name[96];
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == w->broker.pid) {
			broker_died(w, status);
			continue;
		}
		for (i = 0; i < SEATS; i++) {
			if (w->keepers[i].pid != pid)
				continue;
			(void)snprintf(name, sizeof(name), "%s of token %s",
				       token_of(w, i)->workers > 1 ? "a keeper" : "the keeper",
				       token_of(w, i)->name);
			if (w->stopping || w->control < 0)
				w->keepers[i] = (struct child){ .serial = w->keepers[i].serial };
			else
				died(&w->keepers[i], name, status, DELAY_MAX_MS);
		}
	}
}

static bool all_gone(const struct warden *w)
{
	size_t i;

	for (i = 0; i < SEATS; i++)
		if (w->keepers[i].pid)
			return false;
	return !w->broker.pid;
}

static void kill_keepers(struct warden *w)
{
	size_t i;

	w->keepers_by = 0;
	for (i = 0; i < SEATS; i++)
		kill_child(&w->keepers[i], SIGKILL);
}

/* A new broker waits until the keepers of the old one are gone: they own the TPM. */
static void start_due(struct warden *w)
{
	uint64_t now = hf_now_ms();
	size_t i;

	if (w->stopping)
		return;
	if (!w->broker.pid && w->keepers_by && w->keepers_by <= now)
		kill_keepers(w);
	if (!w->broker.pid && w->broker.due <= now && all_gone(w))
		start_broker(w);
	if (w->control < 0)
		return;
	for (i = 0; i < SEATS; i++)
		if (token_of(w, i) && !w->keepers[i].pid && w->keepers[i].due <= now)
			start_keeper(w, i);
}

static int timeout_of(const struct warden *w)
{
	uint64_t now = hf_now_ms(), first = w->stopping ? w->stop_by : 0;
	size_t i;

	if (!w->stopping && !w->broker.pid && w->broker.due) /* of others that die a signal tells */
		first = all_gone(w) ? w->broker.due : w->keepers_by;
	for (i = 0; !w->stopping && w->control >= 0 && i < SEATS; i++)
		if (token_of(w, i) && !w->keepers[i].pid && (!first || w->keepers[i].due < first))
			first = w->keepers[i].due;
	if (!first)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

static void tell_ready(struct warden *w)
{
	if (w->ready_fd >= 0)
		(void)!write(w->ready_fd, "\n", 1);
	hf_fd_close(&w->ready_fd);
	hf_systemd_notify("READY=1");
}

static void hear_broker(struct warden *w)
{
	struct hf_warden_msg m;
	int fd = -1;
	ssize_t n = hf_fd_recv(w->control, &m, sizeof(m), &fd);

	hf_fd_close(&fd);
	if (n != (ssize_t)sizeof(m)) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			hf_fd_close(&w->control); /* SIGCHLD follows */
		return;
	}
	if (m.kind == HF_WARDEN_READY)
		tell_ready(w);
	if ((m.kind != HF_WARDEN_KILL && m.kind != HF_WARDEN_REPLACE) || m.seat >= SEATS ||
	    m.serial != w->keepers[m.seat].serial || !w->keepers[m.seat].pid)
		return;
	w->keepers[m.seat].replaced = m.kind == HF_WARDEN_REPLACE;
	kill_child(&w->keepers[m.seat], SIGKILL);
}

static void hear_signal(struct warden *w)
{
	struct signalfd_siginfo s;

	if (read(w->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return;
	if (s.ssi_signo == SIGHUP) {
		renew_settings(w);
		kill_child(&w->broker, SIGHUP);
	} else if (s.ssi_signo != SIGCHLD && !w->stopping) {
		w->stopping = true;
		w->stop_by = hf_now_ms() + STOP_MS;
		hf_systemd_notify("STOPPING=1");
		kill_child(&w->broker, SIGTERM);
	}
	reap(w);
}

static void kill_all(struct warden *w)
{
	size_t i;

	kill_child(&w->broker, SIGKILL);
	for (i = 0; i < SEATS; i++)
		kill_child(&w->keepers[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static void turn(struct warden *w)
{
	struct pollfd p[2] = { { .fd = w->signals, .events = POLLIN },
			       { .fd = w->control, .events = POLLIN } };

	if (poll(p, 2, timeout_of(w)) <= 0)
		return;
	if (p[1].revents && w->control >= 0)
		hear_broker(w);
	if (p[0].revents)
		hear_signal(w);
}

int hf_warden_main(struct hf_warden_args *a)
{
	struct warden w = { .args = a, .control = -1, .ready_fd = a->ready_fd };
	struct hf_err err = HF_ERR_INIT;
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	w.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w.signals < 0) {
		hf_log(HF_LOG_ERR, "signalfd: %s", strerror(errno));
		return 1;
	}
	if (!a->unconfined && hf_warden_confine(&err)) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		return 1;
	}
	while (!w.stopping || (!all_gone(&w) && hf_now_ms() < w.stop_by)) {
		start_due(&w);
		turn(&w);
	}
	kill_all(&w);
	return 0;
}
