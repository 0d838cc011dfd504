/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TPM backend: when to connect, what to do about each class of error, and the
 * table of operations. The TPM may be missing at any time; every request looks for it
 * again, so that nothing has to be restarted when it comes back.
 */
#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/process.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"

#define RETRIES_MAX	8u     /* 20 ms, doubled each time up to 1 s: 3.5 s in all */
#define SESSION_IDLE_MS 60000u /* an idle session hinders others behind a resource manager */

static void add_lockout(struct hf_tpm2 *t, struct hf_err *e)
{
	uint32_t interval, recovery;
	size_t n;

	if (!e || hf_tpm2_property(t, TPM2_PT_LOCKOUT_INTERVAL, &interval) ||
	    hf_tpm2_property(t, TPM2_PT_LOCKOUT_RECOVERY, &recovery))
		return;
	n = strlen(e->msg);
	(void)snprintf(
		e->msg + n, sizeof(e->msg) - n,
		"; it allows one more attempt after %u s at the latest (lockout recovery: %u s); "
		"holdfast does not try before it is asked again",
		interval, recovery);
}

enum hf_rc hf_tpm2_fail(struct hf_tpm2 *t, uint32_t code, struct hf_err *e, const char *what)
{
	const struct hf_tpm2_meaning *m = hf_tpm2_meaning(code);

	(void)hf_fail(e, m->rc, "%s: %s (0x%x)", what, m->text, code);
	if (m->class == HF_TPM2_LOCKOUT)
		add_lockout(t, e);
	t->code = code;
	return m->rc;
}

void hf_tpm2_forget(struct hf_tpm2 *t)
{
	struct hf_tpm2_key *k;

	for (k = t->head.next; k != &t->head; k = k->next) {
		k->handle = 0;
		k->busy = false;
		hf_tpm2_saved_free(&k->saved);
	}
	t->loaded = 0;
	hf_tpm2_saved_free(&t->primary.saved);
	memset(&t->primary, 0, sizeof(t->primary));
	hf_tpm2_session_forget(&t->session);
	t->ready = false;
}

static void cut(struct hf_tpm2 *t)
{
	hf_tpm2_disconnect(&t->link);
	hf_tpm2_forget(t);
}

static enum hf_rc look(struct hf_tpm2 *t, struct hf_err *e)
{
	uint32_t code = hf_tpm2_describe(t);

	/* On a bare TPM nobody else starts it; behind a resource manager that is its task. */
	if (hf_tpm2_code_base(code) == TPM2_RC_INITIALIZE && !t->shared) {
		code = hf_tpm2_startup(t);
		if (!code)
			code = hf_tpm2_describe(t);
	}
	if (!code && !t->shared)
		code = hf_tpm2_flush_leftovers(t);
	if (!code)
		code = hf_tpm2_find_algorithms(t);
	if (code)
		return hf_tpm2_fail(t, code, e, "open");
	return hf_tpm2_primary_find(t, e);
}

enum hf_rc hf_tpm2_ready(struct hf_tpm2 *t, struct hf_err *e)
{
	enum hf_rc rc;
	uint32_t code;

	if (t->ready)
		return HF_OK;
	t->code = 0;
	if (t->wrong[0])
		return hf_fail(e, HF_GONE, "%s", t->wrong);
	t->link.commands = &t->base.commands;
	if (!t->link.tcti) {
		code = hf_tpm2_connect(&t->link, t->tcti);
		if (code)
			return hf_tpm2_fail(t, code, e, "connect");
	}
	rc = look(t, e);
	if (rc) {
		code = t->code;
		cut(t);
		t->code = code;
		return rc;
	}
	t->ready = true;
	return HF_OK;
}

struct tries {
	unsigned retries, room, reload, restart;
};

static void pause_for(unsigned retries)
{
	unsigned ms = 20u << retries > 1000 ? 1000 : 20u << retries;
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* True: do it again. */
static bool recover(struct hf_tpm2 *t, struct tries *n)
{
	if (!t->code)
		return false;
	switch (hf_tpm2_meaning(t->code)->class) {
	case HF_TPM2_RETRY:
		if (n->retries >= RETRIES_MAX)
			return false;
		pause_for(n->retries++);
		return true;
	case HF_TPM2_ROOM:
		if (n->room++)
			return false;
		hf_tpm2_make_way(t);
		return true;
	case HF_TPM2_RELOAD:
		/* A resource manager clears up when the connection closes; alone, look() does. */
		if (t->shared)
			cut(t);
		else
			hf_tpm2_forget(t);
		return !n->reload++;
	case HF_TPM2_RESTART:
		cut(t);
		return !n->restart++;
	case HF_TPM2_DEGRADED:
		cut(t);
		return false;
	case HF_TPM2_FINAL:
	case HF_TPM2_LOCKOUT:
		break;
	}
	return false;
}

static enum hf_rc repeat(struct hf_tpm2 *t, struct tries *n, const char *what,
			 enum hf_rc (*fn)(struct hf_tpm2 *, void *, struct hf_err *), void *arg,
			 struct hf_err *e)
{
	enum hf_rc rc;

	do {
		rc = hf_tpm2_ready(t, e);
		if (rc) {
			/* Looking for it again at once would find the same, and take as long. */
			if (!t->code || hf_tpm2_meaning(t->code)->class != HF_TPM2_RETRY)
				break;
			continue;
		}
		t->code = 0;
		rc = fn(t, arg, e);
	} while (rc && recover(t, n));
	if (rc)
		(void)hf_within(e, "TPM at %s: %s", t->tcti, what);
	return rc;
}

enum hf_rc hf_tpm2_run(struct hf_tpm2 *t, const char *what,
		       enum hf_rc (*fn)(struct hf_tpm2 *, void *, struct hf_err *), void *arg,
		       struct hf_err *e)
{
	struct tries n = { 0, 0, 0, 0 };

	return repeat(t, &n, what, fn, arg, e);
}

enum hf_rc hf_tpm2_rerun(struct hf_tpm2 *t, const char *what,
			 enum hf_rc (*fn)(struct hf_tpm2 *, void *, struct hf_err *), void *arg,
			 struct hf_err *e)
{
	struct tries n = { 0, 0, 0, 0 };

	if (recover(t, &n))
		return repeat(t, &n, what, fn, arg, e);
	return hf_within(e, "TPM at %s: %s", t->tcti, what);
}

static enum hf_rc tpm2_open(struct hf_backend **out, const hf_KeeperOpen *conf, struct hf_err *e)
{
	struct hf_tpm2 *t;

	if (conf->primary_name.size && conf->primary_name.size != HF_TPM2_NAME)
		return hf_fail(e, HF_ARGUMENT,
			       "the pinned Name has %u bytes, a SHA-256 Name has %u",
			       (unsigned)conf->primary_name.size, HF_TPM2_NAME);
	/* tss would write errors of its own, to standard error or to a file. */
	(void)setenv("TSS2_LOG", "all+NONE", 1);
	(void)unsetenv("TSS2_LOGFILE");
	t = calloc(1, sizeof(*t));
	if (!t)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	t->base.ops = &hf_tpm2_ops;
	t->head.next = t->head.prev = &t->head;
	(void)hf_copy(t->tcti, sizeof(t->tcti), conf->tcti);
	t->link.alive_ms = conf->timeout_ms ? conf->timeout_ms : HF_TPM2_ALIVE_MS;
	t->primary_handle = conf->primary_handle;
	t->shared = conf->shared;
	t->pinned = conf->primary_name.size != 0;
	if (t->pinned)
		memcpy(t->pin, conf->primary_name.bytes, HF_TPM2_NAME);
	*out = &t->base;
	return HF_OK;
}

static void tpm2_close(struct hf_backend *b)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;

	if (!t)
		return;
	if (t->ready) {
		hf_tpm2_primary_put(t);
		if (t->session.handle)
			(void)hf_tpm2_flush(t, t->session.handle);
	}
	hf_tpm2_keys_drop(t, t->ready);
	cut(t);
	free(t);
}

static enum hf_rc answers(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	/* Any property would do to see that it answers; this one is worth knowing. */
	uint32_t code = hf_tpm2_property(t, TPM2_PT_LOCKOUT_COUNTER, &t->lockout_counter);

	(void)arg;
	return code ? hf_tpm2_fail(t, code, e, "ask") : HF_OK;
}

static void tell(const struct hf_tpm2 *t, hf_KeeperOpened *out)
{
	const struct hf_algorithm *a;

	(void)hf_copy(out->description, sizeof(out->description), t->description);
	for (a = hf_algorithms; a->name; a++)
		if (t->has[a - hf_algorithms] && out->algorithms_count < HF_COUNT(out->algorithms))
			(void)hf_copy(out->algorithms[out->algorithms_count++],
				      sizeof(out->algorithms[0]), a->name);
	(void)HF_PB_SET(out->primary_name, t->primary.name, HF_TPM2_NAME);
	out->provisioned = t->primary.persistent;
	out->lockout_counter = t->lockout_counter;
}

static enum hf_rc tpm2_probe(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	enum hf_rc rc;

	t->wrong[0] = '\0'; /* the right TPM may be back */
	rc = hf_tpm2_run(t, "open", answers, NULL, e);
	if (!rc)
		tell(t, out);
	return rc;
}

static enum hf_rc tpm2_provision(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	enum hf_rc rc = hf_tpm2_run(t, "provision", hf_tpm2_primary_persist, NULL, e);

	if (!rc)
		tell(t, out);
	return rc;
}

static void tpm2_distrust(struct hf_backend *b, const hf_KeeperKey *key)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	struct hf_tpm2_key *k = hf_tpm2_key_find(t, key);

	/* The TPM may be at work for another request: the key is let go when it is next used. */
	if (k)
		k->suspect = true;
}

static int tpm2_idle(struct hf_backend *b)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	uint64_t idle;

	if (!t->session.handle)
		return -1;
	idle = hf_now_ms() - t->session.used_at;
	if (idle < SESSION_IDLE_MS)
		return (int)(SESSION_IDLE_MS - idle);
	(void)hf_tpm2_flush(t, t->session.handle);
	hf_tpm2_session_forget(&t->session);
	return -1;
}

const struct hf_backend_ops hf_tpm2_ops = {
	.type = "tpm2",
	.open = tpm2_open,
	.close = tpm2_close,
	.probe = tpm2_probe,
	.provision = tpm2_provision,
	.create = hf_tpm2_create,
	.ready = hf_tpm2_sign_ready,
	.sign_start = hf_tpm2_sign_start,
	.sign_finish = hf_tpm2_sign_finish,
	.distrust = tpm2_distrust,
	.decrypt = hf_tpm2_decrypt,
	.derive = hf_tpm2_derive,
	.wrap = hf_tpm2_wrap,
	.import_key = hf_tpm2_import,
	.attest = hf_tpm2_attest,
	.activate = hf_tpm2_activate,
	.idle = tpm2_idle,
};
