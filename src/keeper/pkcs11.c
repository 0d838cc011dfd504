/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PKCS#11 backend: what to do about each class of error, and the table of operations.
 * A token may be missing at any time; every request looks for it again. What hangs or
 * crashes in here takes this process along, and the warden starts the next.
 */
#include "keeper/pkcs11.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/process.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"

#define RETRIES_MAX  6u /* 20 ms, doubled each time: 1.3 s in all */
#define RESTARTS_MAX 2u
#define ANEW_MS	     5000u
#define SLACK_BYTE   0xa5

enum hf_rc hf_p11_fail(struct hf_p11 *t, CK_RV rv, struct hf_err *e, const char *what)
{
	const struct hf_p11_meaning *m = hf_p11_meaning(rv);

	t->rv = rv;
	return hf_fail(e, m->rc, "%s: %s (CKR 0x%lx)", what, m->text,
		       rv == HF_P11_RV_LIED ? 0 : (unsigned long)rv);
}

void hf_p11_answer_begin(struct hf_p11_answer *a, size_t n)
{
	a->n = (CK_ULONG)n;
	memset(a->bytes + n, SLACK_BYTE, HF_P11_SLACK);
}

CK_RV hf_p11_answer_end(const struct hf_p11_answer *a, size_t n, CK_RV rv)
{
	size_t i;

	/* A module that writes past its buffer has written elsewhere, too: nothing to rescue. */
	for (i = 0; i < HF_P11_SLACK; i++)
		if (a->bytes[n + i] != SLACK_BYTE)
			abort();
	return rv == CKR_OK && a->n > n ? HF_P11_RV_LIED : rv;
}

struct tries {
	unsigned retries, room, forget, session, restart, anew;
};

static void pause_for(unsigned retries)
{
	struct timespec ts = { 0, (long)(20u << retries) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* A session without its login would find no key, and say for good that they are gone. */
static bool renew(struct hf_p11 *t, enum hf_rc *rc, struct hf_err *e)
{
	enum hf_rc failed = hf_p11_new_session(t, e);

	if (!failed)
		return true;
	*rc = failed;
	hf_p11_stop(t);
	return false;
}

/*
 * A module whose storage was away for a moment may have lost sight of all that is in it (SoftHSM
 * does), and says OK. Only if it shows no private key at all: there is nothing to lose then. And
 * not a moment after it was started: it would show the same, and who asks is a client.
 */
static bool start_anew(struct hf_p11 *t)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE match = { CKA_CLASS, &class, sizeof(class) };
	CK_OBJECT_HANDLE any;
	CK_ULONG n;

	if (hf_now_ms() < t->started + ANEW_MS ||
	    hf_p11_find(t, &match, 1, &any, 1, &n) != CKR_OK || n)
		return false;
	hf_p11_stop(t);
	return true;
}

/* True: do it again. Else *@rc and @e say why not. */
static bool recover(struct hf_p11 *t, struct tries *n, enum hf_rc *rc, struct hf_err *e)
{
	if (t->login_failed) { /* a PIN is told once for a request, whatever became of it */
		hf_p11_stop(t);
		return false;
	}
	if (t->rv == CKR_OK)
		return false;
	switch (hf_p11_meaning(t->rv)->class) {
	case HF_P11_RETRY:
		if (n->retries >= RETRIES_MAX)
			return false;
		pause_for(n->retries++);
		return true;
	case HF_P11_ROOM:
		pause_for(3);
		return !n->room++;
	case HF_P11_FORGET:
		hf_p11_keys_drop(t);
		return !n->forget++;
	case HF_P11_SESSION:
		return !n->session++ && (!t->ready || renew(t, rc, e));
	case HF_P11_RESTART:
		/* SoftHSM has no token while another process writes that it logged in. */
		hf_p11_stop(t);
		pause_for(n->restart + 1);
		return n->restart++ < RESTARTS_MAX;
	case HF_P11_ANEW:
		return !n->anew++ && start_anew(t);
	case HF_P11_FINAL:
		break;
	case HF_P11_PIN:
		hf_p11_stop(t);
		break;
	}
	return false;
}

static enum hf_rc start(struct hf_p11 *t, struct hf_err *e)
{
	enum hf_rc rc = hf_p11_start(t, e);

	t->started = hf_now_ms();
	return rc;
}

enum hf_rc hf_p11_run(struct hf_p11 *t, const char *what, hf_p11_fn *fn, void *arg,
		      struct hf_err *e)
{
	struct tries n = { 0 };
	enum hf_rc rc;

	if (t->running) /* a key on trial: who tries it recovers */
		return fn(t, arg, e);
	t->running = true;
	t->login_failed = false;
	do {
		t->rv = CKR_OK;
		rc = t->ready ? HF_OK : start(t, e);
		if (!rc)
			rc = fn(t, arg, e);
	} while (rc && recover(t, &n, &rc, e));
	t->running = false;
	if (rc)
		(void)hf_within(e, "%s: %s", t->uri_text, what);
	return rc;
}

static enum hf_rc p11_open(struct hf_backend **out, const hf_KeeperOpen *conf, struct hf_err *e)
{
	struct hf_p11 *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	t->base.ops = &hf_pkcs11_ops;
	(void)hf_copy(t->module, sizeof(t->module), conf->module);
	(void)hf_copy(t->uri_text, sizeof(t->uri_text), conf->uri);
	t->uri = p11_kit_uri_new();
	rc = t->uri ? p11_kit_uri_parse(t->uri_text, P11_KIT_URI_FOR_ANY, t->uri)
		    : P11_KIT_URI_UNEXPECTED;
	/* What it may say behind that is for the token, not for who reads our errors. */
	t->uri_text[strcspn(t->uri_text, "?")] = '\0';
	if (rc == P11_KIT_URI_OK && !p11_kit_uri_any_unrecognized(t->uri)) {
		*out = &t->base;
		return HF_OK;
	}
	hf_pkcs11_ops.close(&t->base);
	return hf_fail(e, HF_ARGUMENT, "the URI of the token is not one (RFC 7512): %s",
		       rc ? p11_kit_uri_message(rc) : "an attribute is not known");
}

static void p11_close(struct hf_backend *b)
{
	struct hf_p11 *t = (struct hf_p11 *)b;

	if (!t)
		return;
	hf_p11_stop(t);
	if (t->f)
		p11_kit_module_release(t->f);
	p11_kit_uri_free(t->uri);
	free(t);
}

/* Is the token still there, and the session, and the login? */
static enum hf_rc answers(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	CK_RV rv = hf_p11_session_state(t);

	(void)arg;
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "ask");
}

static void tell(struct hf_p11 *t, hf_KeeperOpened *out)
{
	const struct hf_algorithm *a;

	(void)hf_copy(out->description, sizeof(out->description), t->description);
	for (a = hf_algorithms; a->name; a++)
		if (out->algorithms_count < HF_COUNT(out->algorithms) && hf_p11_makes(t, a))
			(void)hf_copy(out->algorithms[out->algorithms_count++],
				      sizeof(out->algorithms[0]), a->name);
	out->provisioned = true;
}

static enum hf_rc p11_probe(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e)
{
	struct hf_p11 *t = (struct hf_p11 *)b;
	enum hf_rc rc = hf_p11_run(t, "open", answers, NULL, e);

	if (!rc)
		tell(t, out);
	return rc;
}

/* There is nothing to make; but who says this has looked at the PIN. */
static enum hf_rc p11_provision(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e)
{
	struct hf_p11 *t = (struct hf_p11 *)b;
	enum hf_rc rc = t->ready ? HF_OK : hf_p11_login_forgive(e);

	return rc ? rc : p11_probe(b, out, e);
}

/* A module computes while it is called: nothing that the keeper could do meanwhile. */
static bool p11_sign_ready(struct hf_backend *b, const hf_KeeperKey *key)
{
	(void)b;
	(void)key;
	return false;
}

static void p11_distrust(struct hf_backend *b, const hf_KeeperKey *key)
{
	hf_p11_key_forget((struct hf_p11 *)b, key->spki_sha256.bytes);
}

static int p11_idle(struct hf_backend *b)
{
	(void)b;
	return -1;
}

const struct hf_backend_ops hf_pkcs11_ops = {
	.type = "pkcs11",
	.open = p11_open,
	.close = p11_close,
	.probe = p11_probe,
	.provision = p11_provision,
	.create = hf_p11_create,
	.ready = p11_sign_ready,
	.sign_start = hf_p11_sign_start,
	.sign_finish = hf_p11_sign_finish,
	.distrust = p11_distrust,
	.decrypt = hf_p11_decrypt,
	.derive = hf_p11_derive,
	.wrap = hf_p11_wrap,
	.import_key = hf_p11_import,
	.destroy = hf_p11_destroy,
	.idle = p11_idle,
};
