/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/api.h"
#include "agent/bundle.h"
#include "agent/commit.h"
#include "agent/enrol.h"
#include "agent/hook.h"
#include "agent/modules.h"
#include "agent/renew.h"
#include "agent/running.h"
#include "agent/status.h"
#include "base/log.h"
#include "base/process.h"

#define SOCKETS HF_COUNT(((struct hf_agent_settings *)0)->sockets)
#define LOOK_MS 60000 /* at least so often: a suspended machine, a clock that was set */
#define POLLED	(3 + HF_RUNNING_MAX + SOCKETS)

struct hf_credential *hf_agent_find(struct hf_agent *a, const char *id)
{
	const struct hf_credential_conf *conf =
		id[0] ? hf_agent_settings_find(a->settings, id) : NULL;

	return conf ? &a->credentials[conf - a->settings->credentials] : NULL;
}

size_t hf_agent_index(const struct hf_agent *a, const struct hf_credential *c)
{
	return (size_t)(c - a->credentials);
}

/* ---------------------------------------------------------------- what is due */

/* Once for each reason: it goes on as well as it can. */
static void warn_of_schedule(struct hf_credential *c)
{
	struct hf_schedule s = { .renew = &c->conf->renew,
				 .issued = c->held.leaf != NULL,
				 .not_before = c->held.not_before,
				 .not_after = c->held.not_after,
				 .renewed = hf_record_renewed(&c->record) };

	if (!c->held.leaf)
		return;
	if (!c->clamp_said && hf_credential_clamped(c)) {
		c->clamp_said = true;
		hf_log(HF_LOG_WARN,
		       "certificate %s: its renewal threshold is longer than it lives (%lld "
		       "days); it is renewed at half of its life",
		       c->conf->id, (long long)(c->held.not_after - c->held.not_before) / 86400);
	}
	if (!c->hurry_said && hf_schedule_hurried(&s)) {
		c->hurry_said = true;
		hf_log(HF_LOG_WARN,
		       "certificate %s: a new one has to be renewed at once, so little of its life "
		       "(%lld s) is left; it is renewed once a minute at most: let its issuer, and "
		       "the clocks of both, be looked at",
		       c->conf->id, (long long)(c->held.not_after - c->held.not_before));
	}
}

static void look_at(struct hf_agent *a, struct hf_credential *c)
{
	if (!strcmp(c->conf->method, "files")) {
		if (c->recover_at <= a->clock.wall)
			hf_renew_watch(a, c);
		if (c->record.hook_due && !c->trouble[0])
			hf_hook_run(a, c);
		return;
	}
	if (c->recovered && c->recover_at <= a->clock.wall) {
		c->recover_at = a->clock.wall + LOOK_MS / 1000;
		hf_commit_restore(a, c);
	}
	if (c->busy)
		return;
	if (!a->clock.trusted) {
		c->next = HF_NEVER;
		return;
	}
	if (hf_held_is_ahead(&c->held, a->clock.wall))
		hf_renew_replace(a, c, "it begins later than now, so the clock was wrong once");
	hf_credential_plan(c, a->clock.wall);
	if (c->next <= a->clock.wall || (!c->recovered && c->recover_at <= a->clock.wall))
		hf_renew_begin(a, c);
	if (c->record.hook_due)
		hf_hook_run(a, c);
	warn_of_schedule(c);
}

/* The clock was set, maybe back: no time at which to look again means anything any more. */
static void plan_anew(struct hf_agent *a)
{
	size_t i;

	if (a->clock_steps == a->clock.steps)
		return;
	hf_log(HF_LOG_NOTICE, "the clock was set; everything is planned anew");
	a->clock_steps = a->clock.steps;
	a->changed = true;
	a->modules_next = a->store_next = a->bundle_next = 0;
	for (i = 0; i < a->n; i++)
		a->credentials[i].recover_at = 0;
}

static void look(struct hf_agent *a)
{
	bool trusted = a->clock.trusted;
	int64_t now = hf_clock_look(&a->clock);
	size_t i;

	plan_anew(a);
	a->changed = a->changed || trusted != a->clock.trusted;
	for (i = 0; i < a->n && !a->stopping; i++)
		look_at(a, &a->credentials[i]);
	hf_modules_look(a);
	if ((a->bundle_next <= now && a->clock.trusted) || hf_bundle_is_stale(a))
		hf_bundle_update(a);
	if (a->changed)
		hf_status_write(a);
}

/* The timer goes off when the next one is due, and when somebody sets the clock. */
static void arm(struct hf_agent *a)
{
	struct itimerspec t = { .it_value = { .tv_sec = a->clock.wall + LOOK_MS / 1000 } };
	size_t i;

	for (i = 0; i < a->n; i++)
		if (a->credentials[i].next < t.it_value.tv_sec)
			t.it_value.tv_sec = a->credentials[i].next;
	if (t.it_value.tv_sec <= a->clock.wall)
		t.it_value.tv_sec = a->clock.wall + 1;
	(void)timerfd_settime(a->timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &t, NULL);
}

/* ---------------------------------------------------------------- what comes in */

static void hear_launcher(struct hf_agent *a)
{
	struct hf_launch_end end;
	struct hf_running *r;
	int fd = -1;
	ssize_t n = hf_fd_recv(a->control, &end, sizeof(end), &fd);

	hf_fd_close(&fd);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		hf_log(HF_LOG_ERR, "the launcher is gone; ending");
		a->stopping = true;
	}
	if (n != (ssize_t)sizeof(end))
		return;
	r = hf_running_find(a, end.serial);
	if (r && r->kind == HF_LAUNCH_EST)
		hf_enrol_ended(a, r, &end);
	else if (r && r->kind == HF_LAUNCH_HOOK)
		hf_hook_ended(a, r, &end);
	else if (r)
		hf_running_free(r);
}

static void hear_signal(struct hf_agent *a)
{
	struct signalfd_siginfo s;

	if (read(a->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return;
	if (s.ssi_signo == SIGHUP)
		hf_agent_reload(a);
	else
		a->stopping = true;
}

static void turn(struct hf_agent *a)
{
	struct pollfd p[POLLED] = { { .fd = a->control, .events = POLLIN },
				    { .fd = a->signals, .events = POLLIN },
				    { .fd = a->timer, .events = POLLIN } };
	size_t i, n = 3 + HF_RUNNING_MAX;
	uint64_t count;

	for (i = 0; i < HF_RUNNING_MAX; i++) {
		p[3 + i].fd = a->running[i].serial ? a->running[i].fd : -1;
		p[3 + i].events = (short)(POLLIN | (a->running[i].out.n ? POLLOUT : 0));
	}
	n += hf_http_poll(a->http, p + n, SOCKETS);
	arm(a);
	if (poll(p, n, hf_http_timeout(a->http, LOOK_MS)) < 0)
		return;
	for (i = 0; i < HF_RUNNING_MAX; i++)
		if (p[3 + i].fd >= 0 && p[3 + i].revents)
			hf_enrol_io(a, &a->running[i]);
	if (p[2].revents)
		(void)!read(a->timer, &count, sizeof(count)); /* or ECANCELED */
	if (p[0].revents)
		hear_launcher(a);
	if (p[1].revents)
		hear_signal(a);
	hf_http_run(a->http);
	look(a);
}

/* ---------------------------------------------------------------- beginning and end */

/* What a crash has cut off. Of others' files in the directory of certificates only what is ours. */
static void sweep(const struct hf_agent_settings *s)
{
	static const char *const below[] = { ".", "modules", "issued", "retired" };
	char dir[HF_PATH_MAX];
	size_t i;

	for (i = 0; i < HF_COUNT(below); i++)
		if (!hf_path_join(dir, s->state_dir, below[i], NULL))
			hf_dir_sweep(dir, "");
	hf_dir_sweep(s->run_dir, "");
	hf_dir_sweep(s->certs_dir, "module-");
	if (s->bundle.file[0])
		hf_file_sweep(s->bundle.file);
}

static enum hf_rc open_all(struct hf_agent *a, struct hf_err *e)
{
	const struct hf_agent_settings *s = a->settings;
	sigset_t mask;
	enum hf_rc rc;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	a->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	a->timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (a->signals < 0 || a->timer < 0)
		return hf_fail_errno(e, HF_FAILED, "signalfd, timerfd");
	rc = hf_dir_make(s->state_dir, 0700, e);
	if (!rc)
		rc = hf_dir_make(s->run_dir, 0755, e);
	if (!rc)
		rc = hf_dir_make(s->certs_dir, 0755, e);
	if (rc)
		return rc;
	sweep(s);
	hf_clock_init(&a->clock, s->state_dir, s->clock.wait_for_ntp);
	(void)hf_clock_look(&a->clock);
	a->http = hf_http_new(s, hf_api_serve, a, e);
	if (!a->http)
		return e->rc;
	a->keys = hf_keys_new(s->broker_socket, e);
	return a->keys ? hf_agent_load_credentials(a, e) : e->rc;
}

static void close_all(struct hf_agent *a)
{
	size_t i;

	for (i = 0; i < HF_RUNNING_MAX; i++)
		if (a->running[i].serial)
			hf_running_free(&a->running[i]);
	hf_agent_drop_credentials(a->credentials, a->n);
	hf_http_free(a->http);
	hf_keys_free(a->keys);
	hf_agent_settings_free(a->settings);
	hf_fd_close(&a->control);
	hf_fd_close(&a->signals);
	hf_fd_close(&a->timer);
	free(a);
}

int hf_agent_main(struct hf_agent_settings *settings, int control, void *arg)
{
	const struct hf_agent_args *args = arg;
	struct hf_agent *a = calloc(1, sizeof(*a));
	struct hf_err err = HF_ERR_INIT;
	int code = 0;

	if (!a)
		return 1;
	a->settings = settings;
	a->config = args->config;
	a->control = control;
	a->signals = a->timer = -1;
	a->bundle_next = HF_NEVER;
	if (open_all(a, &err) || (!args->unconfined && hf_agent_confine(a, &err))) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		code = hf_rc_exit(err.rc);
	} else {
		a->changed = true;
		look(a); /* what is due already, so that ready means ready */
		hf_bundle_update(a);
		hf_status_write(a);
		if (args->ready_fd >= 0)
			(void)!write(args->ready_fd, "\n", 1);
		while (!a->stopping)
			turn(a);
	}
	close_all(a);
	return code;
}
