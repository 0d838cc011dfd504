/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/renew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/commit.h"
#include "agent/enrol.h"
#include "agent/hook.h"
#include "agent/issue.h"
#include "agent/preloaded.h"
#include "base/log.h"
#include "est/certs.h"
#include "wire/packet.h"

#define RECOVER_S 60  /* until the broker is asked again what a crash has left */
#define ORPHAN_S  600 /* a generation that nobody has taken for so long */

static void save(struct hf_agent *a, struct hf_credential *c)
{
	struct hf_err err = HF_ERR_INIT;

	if (hf_record_save(&c->record, a->settings->state_dir, c->conf->id, &err))
		hf_log(HF_LOG_ERR, "certificate %s: %s", c->conf->id, err.msg);
}

/* ---------------------------------------------------------------- which key */

static enum hf_rc get_key(struct hf_agent *a, struct hf_credential *c, struct hf_key_state *key,
			  struct hf_err *e)
{
	const struct hf_credential_conf *conf = c->conf;
	enum hf_rc rc = hf_keys_get(a->keys, conf->key.name, key, e);

	if (rc != HF_NO_KEY)
		return rc;
	if (conf->key.uri[0])
		return hf_fail(e, HF_NO_KEY,
			       "key %s is to come from %s and is not in a token yet; run 'holdfast "
			       "config apply' as root, which takes it in",
			       conf->key.name, conf->key.uri);
	return hf_keys_create(a->keys, conf->key.name, conf->key.token,
			      conf->key.algorithm[0] ? conf->key.algorithm : "ec-p256",
			      conf->key.usage, key, e);
}

/* A key has so many generations: of those that wait for their end, the oldest makes room. */
static bool make_room(struct hf_agent *a, const struct hf_credential *c)
{
	const struct hf_generation *oldest = NULL;
	struct hf_err err = HF_ERR_INIT;
	struct hf_key_state key;
	char hex[65];
	size_t i;

	if (hf_keys_get(a->keys, c->conf->key.name, &key, &err))
		return false;
	for (i = 0; i < key.n; i++)
		if (key.generations[i].state == hf_Generation_State_RETIRING &&
		    (!oldest || key.generations[i].created < oldest->created))
			oldest = &key.generations[i];
	if (!oldest || hf_keys_retire(a->keys, key.name, oldest->spki_sha256, &err))
		return false;
	hf_log(HF_LOG_NOTICE,
	       "key %s: it has as many generations as a key can have; the oldest of a certificate "
	       "before, %s, is gone before its time",
	       key.name, hf_hex(hex, sizeof(hex), oldest->spki_sha256, 32));
	return true;
}

/* The transaction is on the disk before the key is asked for: the same one comes again. */
static enum hf_rc stage(struct hf_agent *a, struct hf_credential *c, uint8_t spki[32],
			struct hf_err *e)
{
	struct hf_record *r = &c->record;
	uint8_t transaction[16];
	enum hf_rc rc;

	if (!r->transaction[0]) {
		if (getrandom(transaction, sizeof(transaction), 0) != sizeof(transaction))
			return hf_fail_errno(e, HF_FAILED, "getrandom");
		(void)hf_hex(r->transaction, sizeof(r->transaction), transaction, 16);
		r->staged[0] = '\0';
		rc = hf_record_save(r, a->settings->state_dir, c->conf->id, e);
		if (rc) {
			r->transaction[0] = '\0';
			return rc;
		}
	}
	if (!hf_unhex(transaction, sizeof(transaction), r->transaction)) {
		r->transaction[0] = '\0';
		return hf_fail(e, HF_CORRUPT, "its record is damaged; beginning anew");
	}
	rc = hf_keys_stage(a->keys, c->conf->key.name, c->conf->key.algorithm, transaction, spki,
			   e);
	if (rc == HF_REFUSED && make_room(a, c))
		rc = hf_keys_stage(a->keys, c->conf->key.name, c->conf->key.algorithm, transaction,
				   spki, e);
	return rc;
}

/* The key pair that the next certificate is for, and for what it is; on the disk, too. */
static enum hf_rc choose_key(struct hf_agent *a, struct hf_credential *c, uint8_t spki[32],
			     struct hf_err *e)
{
	bool rotate = c->record.wanted ? c->record.rotate : c->conf->renew.rotate_key;
	struct hf_key_state key;
	enum hf_rc rc = get_key(a, c, &key, e);
	char hex[65], asked[65];

	if (rc)
		return rc;
	hf_credential_settings(c->conf, asked);
	if (c->held.leaf && hf_keys_generation(&key, c->held.spki_sha256) && rotate)
		rc = stage(a, c, spki, e);
	else if (c->record.transaction[0]) /* begun, whatever has changed since */
		rc = stage(a, c, spki, e);
	else if (c->held.leaf && hf_keys_generation(&key, c->held.spki_sha256))
		memcpy(spki, c->held.spki_sha256, 32);
	else
		memcpy(spki, key.current, 32);
	if (rc || (!strcmp(hf_hex(hex, sizeof(hex), spki, 32), c->record.staged) &&
		   !strcmp(asked, c->record.asked)))
		return rc;
	(void)hf_copy(c->record.staged, sizeof(c->record.staged), hex);
	(void)hf_copy(c->record.asked, sizeof(c->record.asked), asked);
	return hf_record_save(&c->record, a->settings->state_dir, c->conf->id, e);
}

/* ---------------------------------------------------------------- issuing here */

/* The CA that signs: its certificate and key. */
static enum hf_rc load_issuer(struct hf_agent *a, const struct hf_credential *c,
			      struct hf_credential **issuer, EVP_PKEY **key, struct hf_err *e)
{
	*issuer = hf_agent_find(a, c->conf->issuer);
	*key = NULL;
	if (!*issuer || !(*issuer)->held.leaf)
		return hf_fail(e, HF_UNAVAILABLE, "its issuer %s has no certificate yet",
			       c->conf->issuer);
	if (hf_ca_trouble(a, *issuer, e))
		return e->rc;
	if (hf_held_is_ahead(&(*issuer)->held, a->clock.wall))
		return hf_fail(e, HF_UNAVAILABLE,
			       "the certificate of its issuer %s is not valid yet",
			       c->conf->issuer);
	*key = hf_keys_load_generation(a->keys, (*issuer)->held.spki_sha256, e);
	return *key ? HF_OK : hf_within(e, "issuer %s", c->conf->issuer);
}

static void write_chain(X509 *cert, const struct hf_credential *issuer, struct hf_buf *pem)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	int i;

	(void)hf_certs_add(all, cert);
	if (issuer && !hf_cert_is_root(issuer->held.leaf))
		(void)hf_certs_add(all, issuer->held.leaf);
	for (i = 0; issuer && i < sk_X509_num(issuer->held.others); i++)
		(void)hf_certs_add(all, sk_X509_value(issuer->held.others, i));
	hf_certs_write(all, pem);
	hf_certs_free(all);
}

static enum hf_rc issue_here(struct hf_agent *a, struct hf_credential *c, const uint8_t spki[32],
			     struct hf_buf *pem, struct hf_err *e)
{
	struct hf_credential *issuer = NULL;
	struct hf_issue i = { .lib = hf_keys_lib(a->keys),
			      .eku = c->conf->eku,
			      .n_eku = c->conf->n_eku,
			      .ca = c->conf->ca,
			      .pathlen = c->conf->pathlen,
			      .days = c->conf->days,
			      .now = a->clock.wall };
	X509 *cert = NULL;
	enum hf_rc rc = HF_OK;

	i.key = hf_keys_load_generation(a->keys, spki, e);
	rc = i.key ? HF_OK : e->rc;
	if (!rc && !strcmp(c->conf->method, "local_ca")) {
		rc = load_issuer(a, c, &issuer, &i.issuer_key, e);
		i.issuer = issuer ? issuer->held.leaf : NULL;
	}
	i.subject = rc ? NULL : hf_issue_subject(c->conf, e);
	if (i.subject && !hf_issue_sans(c->conf, &i.sans, e))
		cert = hf_issue(&i, e);
	if (cert)
		write_chain(cert, issuer, pem);
	if (cert && pem->bad)
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	else if (!cert && !rc)
		rc = e->rc;
	X509_free(cert);
	GENERAL_NAMES_free(i.sans);
	X509_NAME_free(i.subject);
	EVP_PKEY_free(i.issuer_key);
	EVP_PKEY_free(i.key);
	return rc;
}

/* ---------------------------------------------------------------- how it ends */

void hf_renew_failed(struct hf_agent *a, struct hf_credential *c, const char *result,
		     const char *message, int64_t retry_after)
{
	struct hf_record *r = &c->record;
	bool pending = !strcmp(result, "pending");

	r->failures++;
	r->failed += !pending;
	r->tried = r->last = a->clock.wall;
	r->retry_after = retry_after;
	(void)hf_copy(r->result, sizeof(r->result), result);
	if (!hf_copy(r->message, sizeof(r->message), message)) {
		memcpy(r->message, message, sizeof(r->message) - 1);
		r->message[sizeof(r->message) - 1] = '\0';
	}
	c->busy = false;
	save(a, c);
	hf_credential_plan(c, a->clock.wall);
	a->changed = true;
	hf_log(pending ? HF_LOG_NOTICE : HF_LOG_ERR, "certificate %s: %s%s%s; again in %lld s",
	       c->conf->id, message,
	       c->held.leaf && c->held.not_after > a->clock.wall ? "; the one before goes on" : "",
	       "", (long long)(c->next - a->clock.wall));
}

/* Those that had to wait for this one need not wait any longer. */
static void wake_dependents(struct hf_agent *a, const struct hf_credential *c)
{
	size_t i;

	for (i = 0; i < a->n; i++) {
		struct hf_credential *d = &a->credentials[i];

		if (d == c || d->busy || !d->record.failures || !hf_record_local(&d->record) ||
		    (strcmp(d->conf->issuer, c->conf->id) &&
		     strcmp(d->conf->est.identity, c->conf->id) &&
		     strcmp(d->conf->est.bootstrap, c->conf->id)))
			continue;
		d->record.failures = 0;
		hf_credential_plan(d, a->clock.wall);
	}
}

void hf_renew_take(struct hf_agent *a, struct hf_credential *c, const char *pem)
{
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc = hf_commit(a, c, pem, &err);

	c->busy = false;
	if (rc && rc != HF_REFUSED && pem != c->answer) {
		free(c->answer);
		c->answer = strdup(pem); /* it need not be asked for again */
	}
	if (rc == HF_REFUSED) {
		free(c->answer);
		c->answer = NULL;
	}
	if (rc) {
		hf_renew_failed(a, c, rc == HF_REFUSED ? "answer" : HF_RESULT_LOCAL, err.msg, 0);
		return;
	}
	c->trouble[0] = '\0';
	hf_credential_plan(c, a->clock.wall);
	wake_dependents(a, c);
	hf_hook_run(a, c);
}

/* ---------------------------------------------------------------- from outside */

void hf_renew_begin(struct hf_agent *a, struct hf_credential *c)
{
	HF_AUTO_BUF pem = HF_BUF(256u * 1024);
	struct hf_err err = HF_ERR_INIT;
	uint8_t spki[32];
	enum hf_rc rc;

	hf_renew_recover(a, c);
	if (c->next > a->clock.wall)
		return;
	if (!c->recovered) {
		hf_renew_failed(a, c, HF_RESULT_LOCAL, c->trouble, 0);
		return;
	}
	if (c->answer) {
		hf_renew_take(a, c, c->answer);
		return;
	}
	rc = choose_key(a, c, spki, &err);
	if (!rc && !strcmp(c->conf->method, "est"))
		rc = hf_enrol_begin(a, c, spki, &err);
	else if (!rc)
		rc = issue_here(a, c, spki, &pem, &err);
	if (rc)
		hf_renew_failed(a, c, HF_RESULT_LOCAL, err.msg, 0);
	else if (pem.n)
		hf_renew_take(a, c, (const char *)pem.p);
	a->changed = true;
}

/* Generations that were staged for something that will never come. */
static void collect_orphans(struct hf_agent *a, struct hf_credential *c,
			    const struct hf_key_state *key)
{
	struct hf_err err = HF_ERR_INIT;
	char hex[65];
	size_t i;

	for (i = 0; i < key->n && !c->record.transaction[0]; i++) {
		const struct hf_generation *g = &key->generations[i];

		(void)hf_hex(hex, sizeof(hex), g->spki_sha256, 32);
		if (g->state != hf_Generation_State_STAGED || !strcmp(hex, c->record.staged) ||
		    g->created + ORPHAN_S > a->clock.wall ||
		    hf_mem_equal(g->spki_sha256, c->held.spki_sha256, 32))
			continue;
		if (hf_keys_retire(a->keys, key->name, g->spki_sha256, &err))
			hf_log(HF_LOG_WARN, "%s", err.msg);
		else
			hf_log(HF_LOG_NOTICE,
			       "key %s: generation %s belonged to nothing, and is "
			       "gone",
			       key->name, hex);
	}
}

void hf_renew_replace(struct hf_agent *a, struct hf_credential *c, const char *why)
{
	struct hf_record *r = &c->record;

	if (r->wanted)
		return;
	hf_log(HF_LOG_NOTICE, "certificate %s: %s; it is replaced", c->conf->id, why);
	r->wanted = true;
	r->rotate = c->conf->renew.rotate_key;
	r->failures = 0;
	save(a, c);
}

/* A certificate for other names or another issuer, or of a key that is not there, is replaced. */
static void compare(struct hf_agent *a, struct hf_credential *c, const struct hf_key_state *key)
{
	const struct hf_record *r = &c->record;
	char settings[65];

	if (!strcmp(c->conf->method, "files") || !c->held.leaf)
		return;
	hf_credential_settings(c->conf, settings);
	if (!key || !hf_keys_generation(key, c->held.spki_sha256))
		hf_renew_replace(a, c, "its key is in no token of ours");
	else if (r->settings[0] && strcmp(settings, r->settings))
		hf_renew_replace(a, c, "its configuration has changed");
}

void hf_renew_recover(struct hf_agent *a, struct hf_credential *c)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_key_state key;
	enum hf_rc rc;

	if (c->recovered)
		return;
	if (!c->conf->key.name[0]) { /* a certificate alone, such as a root */
		c->recovered = true;
		hf_credential_plan(c, a->clock.wall);
		return;
	}
	hf_commit_recover(a, c);
	rc = hf_keys_get(a->keys, c->conf->key.name, &key, &err);
	if (rc && rc != HF_NO_KEY) {
		(void)snprintf(c->trouble, sizeof(c->trouble), "%.290s", err.msg);
		c->recover_at = a->clock.wall + RECOVER_S;
		a->changed = true;
		return;
	}
	c->recovered = true;
	c->trouble[0] = '\0';
	if (!rc && c->held.leaf && hf_keys_generation(&key, c->held.spki_sha256) &&
	    hf_commit_follow(a, c, &key, &err))
		hf_log(HF_LOG_ERR, "certificate %s: %s", c->conf->id, err.msg);
	if (!rc)
		collect_orphans(a, c, &key);
	compare(a, c, rc ? NULL : &key);
	hf_credential_plan(c, a->clock.wall);
	if (c->record.hook_due)
		hf_hook_run(a, c);
}

enum hf_rc hf_renew_want(struct hf_agent *a, struct hf_credential *c, bool rotate, struct hf_err *e)
{
	if (!strcmp(c->conf->method, "files"))
		return hf_fail(e, HF_REFUSED,
			       "certificate %s comes as a file; it is renewed by who made %s",
			       c->conf->id, c->conf->file);
	if (c->busy)
		return hf_fail(e, HF_BUSY, "certificate %s: its renewal is under way", c->conf->id);
	c->record.wanted = true;
	c->record.rotate = rotate;
	c->record.failures = 0;
	save(a, c); /* a full disk has said so; it is done when there is room */
	hf_credential_plan(c, a->clock.wall);
	return HF_OK;
}

enum hf_rc hf_renew_reset(struct hf_agent *a, struct hf_credential *c, struct hf_err *e)
{
	return hf_renew_want(a, c, true, e);
}

/*
 * Somebody has put another certificate there, and it is good. The CA's of before is trusted until
 * it ends, also if it was replaced while we did not run: so each is kept when it comes.
 */
static enum hf_rc take_note(struct hf_agent *a, struct hf_credential *c, struct hf_err *e)
{
	struct hf_record before = c->record;
	char fresh[65];
	enum hf_rc rc;

	if (!strcmp(hf_hex(fresh, sizeof(fresh), c->held.sha256, 32), c->record.seen))
		return HF_OK;
	rc = hf_commit_keep(a, c, e);
	if (rc)
		return rc;
	hf_hook_want(c, c->record.seen);
	(void)hf_copy(c->record.seen, sizeof(c->record.seen), fresh);
	rc = hf_record_save(&c->record, a->settings->state_dir, c->conf->id, e);
	if (rc) {
		c->record = before;
		return rc;
	}
	hf_log(HF_LOG_NOTICE, "certificate %s: %s has one with the fingerprint %s", c->conf->id,
	       c->conf->file, fresh);
	hf_bundle_update(a);
	wake_dependents(a, c);
	return HF_OK;
}

void hf_renew_watch(struct hf_agent *a, struct hf_credential *c)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_key_state key;

	c->trouble[0] = '\0';
	c->recover_at = a->clock.wall + RECOVER_S;
	hf_credential_refresh(c, a->clock.wall);
	if (hf_preloaded_check(c, a->clock.wall, &err))
		(void)snprintf(c->trouble, sizeof(c->trouble), "%.290s", err.msg);
	else if (!c->conf->key.name[0])
		c->trouble[0] = '\0'; /* nothing to compare it with */
	else if (hf_keys_get(a->keys, c->conf->key.name, &key, &err))
		(void)snprintf(c->trouble, sizeof(c->trouble), "%.290s", err.msg);
	else if (!hf_keys_generation(&key, c->held.spki_sha256))
		(void)snprintf(c->trouble, sizeof(c->trouble), "it is not for the key %.100s",
			       c->conf->key.name);
	else if (hf_commit_follow(a, c, &key, &err))
		(void)snprintf(c->trouble, sizeof(c->trouble), "%.290s", err.msg);
	if (!c->trouble[0] && take_note(a, c, &err))
		(void)snprintf(c->trouble, sizeof(c->trouble), "%.290s", err.msg);
	a->changed = true;
}
