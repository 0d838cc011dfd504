/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commit.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/hook.h"
#include "agent/wanted.h"
#include "base/log.h"
#include "est/certs.h"
#include "reference.h"

#define PEM_MAX (256u * 1024)

static enum hf_rc waiting_path(const struct hf_agent *a, const struct hf_credential *c,
			       char out[HF_PATH_MAX], struct hf_err *e)
{
	char name[HF_ID_SIZE + 16];

	(void)snprintf(name, sizeof(name), "%s.new.pem", c->conf->id);
	return hf_path_join(out, a->settings->state_dir, name, e);
}

/* The parent looks again, whoever made it: holdfast-est has met strangers. */
static enum hf_rc check(const struct hf_agent *a, const struct hf_credential *c, const char *pem,
			struct hf_err *e)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	char want[65] = "", why[160];
	uint8_t spki[32];
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc = list ? hf_certs_read(pem, 16, list, &err) : HF_NO_MEMORY;
	X509 *leaf = rc ? NULL : sk_X509_value(list, 0);

	/* Not to be kept and tried again, as what the disk has no room for. */
	if (rc == HF_NO_MEMORY)
		(void)hf_fail(e, rc, "out of memory");
	else if (rc)
		rc = hf_fail(e, HF_REFUSED, "what came is no certificate: it %s", err.msg);
	if (leaf && hf_keys_spki_sha256(X509_get0_pubkey(leaf), spki))
		(void)hf_hex(want, sizeof(want), spki, 32);
	if (!rc && strcmp(want, c->record.staged))
		rc = hf_fail(e, HF_REFUSED, "the certificate that came is for another key");
	if (!rc && !hf_cert_is_valid(leaf, (time_t)a->clock.wall))
		rc = hf_fail(e, HF_REFUSED, "the certificate that came is not valid now");
	if (!rc && (X509_check_ca(leaf) == 1) != c->conf->ca)
		rc = hf_fail(e, HF_REFUSED, "the certificate that came is %sa CA's",
			     c->conf->ca ? "not " : "");
	if (!rc)
		rc = hf_wanted_check(c->conf, list, e);
	if (rc)
		(void)hf_keys_why(why, sizeof(why)); /* empties libcrypto's queue */
	hf_certs_free(list);
	return rc;
}

static void owner_of(const struct hf_credential_conf *c, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = c->owner[0] ? getpwnam(c->owner) : NULL;
	const struct group *gr = c->group[0] ? getgrnam(c->group) : NULL;

	*uid = pw && pw->pw_uid != geteuid() ? pw->pw_uid : (uid_t)-1;
	*gid = gr && gr->gr_gid != getegid() ? gr->gr_gid : (gid_t)-1;
}

/* With the owner that was asked for, where we may; else as ours, which is said. */
static enum hf_rc write_file(const struct hf_credential_conf *c, const char *path, const void *p,
			     size_t n, struct hf_err *e)
{
	struct hf_err first = HF_ERR_INIT;
	uid_t uid;
	gid_t gid;

	owner_of(c, &uid, &gid);
	if (!hf_file_replace_as(path, p, n, (mode_t)c->mode, uid, gid, &first))
		return HF_OK;
	if ((uid == (uid_t)-1 && gid == (gid_t)-1) ||
	    hf_file_replace(path, p, n, (mode_t)c->mode, e))
		return uid == (uid_t)-1 && gid == (gid_t)-1 ? (*e = first, e->rc) : e->rc;
	hf_log(HF_LOG_WARN, "%s: it belongs to the agent's user, not to %s:%s (%s)", path, c->owner,
	       c->group, first.msg);
	return HF_OK;
}

enum hf_rc hf_commit_keep(struct hf_agent *a, const struct hf_credential *c, struct hf_err *e)
{
	char name[HF_ID_SIZE + 40], hex[65], path[HF_PATH_MAX], dir[HF_PATH_MAX];
	HF_AUTO_BUF pem = HF_BUF(PEM_MAX);
	STACK_OF(X509) * one;
	enum hf_rc rc;

	if (!c->held.leaf || !c->conf->ca)
		return HF_OK;
	(void)snprintf(name, sizeof(name), "%s-%.16s.pem", c->conf->id,
		       hf_hex(hex, sizeof(hex), c->held.sha256, 32));
	rc = hf_path_join(dir, a->settings->state_dir, "retired", e);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (!rc)
		rc = hf_path_join(path, dir, name, e);
	one = sk_X509_new_null();
	if (!rc && one && sk_X509_push(one, c->held.leaf) > 0)
		hf_certs_write(one, &pem);
	sk_X509_free(one);
	if (!rc && (pem.bad || !pem.n))
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	return rc ? rc : hf_file_replace(path, pem.p, pem.n, 0600, e);
}

static enum hf_rc write_reference(struct hf_agent *a, const struct hf_credential *c,
				  struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(32768);
	struct hf_reference *ref = calloc(1, sizeof(*ref));
	unsigned char *der = NULL;
	int n;
	enum hf_rc rc;

	(void)a;
	if (!ref)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->held.leaf), &der);
	if (n > 0 && (size_t)n <= sizeof(ref->spki)) {
		memcpy(ref->spki, der, (size_t)n);
		ref->spki_n = (size_t)n;
		(void)hf_copy(ref->name, sizeof(ref->name), c->conf->key.name);
		(void)hf_copy(ref->cert, sizeof(ref->cert), c->conf->file);
		rc = hf_reference_pem(ref, &pem, e);
	} else {
		rc = hf_fail(e, HF_CORRUPT, "the certificate's public key cannot be encoded");
	}
	OPENSSL_free(der);
	free(ref);
	return rc ? rc : write_file(c->conf, c->conf->reference, pem.p, pem.n, e);
}

enum hf_rc hf_commit_follow(struct hf_agent *a, struct hf_credential *c,
			    const struct hf_key_state *key, struct hf_err *e)
{
	/* A key has eight generations: those of short lives must not pile up. */
	int64_t grace = (c->held.not_after - c->held.not_before) / 4;
	enum hf_rc rc = HF_OK;

	grace = grace < 0 ? 0 : grace > HF_GRACE_S ? HF_GRACE_S : grace;
	if (!key || !hf_mem_equal(key->current, c->held.spki_sha256, 32))
		rc = hf_keys_current(a->keys, c->conf->key.name, c->held.spki_sha256,
				     (uint32_t)grace, e);
	if (!rc && c->conf->reference[0])
		rc = write_reference(a, c, e);
	return rc;
}

/* What counts is on the disk; the record says so, and the hook is due. */
static enum hf_rc settle(struct hf_agent *a, struct hf_credential *c, const char old[65],
			 struct hf_err *e)
{
	struct hf_record *r = &c->record, before = *r;
	enum hf_rc rc;

	r->transaction[0] = r->staged[0] = '\0';
	r->wanted = false;
	r->failures = r->retry_after = 0;
	r->renewals++;
	r->last = a->clock.wall;
	(void)hf_copy(r->result, sizeof(r->result), "ok");
	r->message[0] = '\0';
	/* What waited since before the configuration was changed is not what is wanted now. */
	if (r->asked[0])
		(void)hf_copy(r->settings, sizeof(r->settings), r->asked);
	else
		hf_credential_settings(c->conf, r->settings);
	r->asked[0] = '\0';
	(void)hf_hex(r->seen, sizeof(r->seen), c->held.sha256, 32);
	hf_hook_want(c, old);
	a->changed = true;
	rc = hf_record_save(r, a->settings->state_dir, c->conf->id, e);
	if (rc)
		*r = before; /* all of it again, when the disk is well */
	return rc;
}

enum hf_rc hf_commit(struct hf_agent *a, struct hf_credential *c, const char *pem, struct hf_err *e)
{
	char waiting[HF_PATH_MAX], old[65] = "", fresh[65];
	enum hf_rc rc = check(a, c, pem, e);

	if (!rc)
		rc = waiting_path(a, c, waiting, e);
	if (!rc)
		rc = hf_file_replace(waiting, pem, strlen(pem), 0600, e);
	if (!rc)
		rc = hf_commit_keep(a, c, e);
	if (!rc && c->held.leaf)
		(void)hf_hex(old, sizeof(old), c->held.sha256, 32);
	if (!rc)
		rc = write_file(c->conf, c->conf->file, pem, strlen(pem), e);
	if (rc)
		return rc;
	hf_credential_refresh(c, a->clock.wall);
	if (!c->held.leaf)
		return hf_fail(e, HF_IO, "%s: it was written and cannot be read: %s", c->conf->file,
			       c->held.error);
	(void)hf_hex(fresh, sizeof(fresh), c->held.sha256, 32);
	/* A crash came when the file was there already. Without seen: of an older version. */
	if (!strcmp(old, fresh) && (c->record.seen[0] || !c->record.renewals))
		(void)hf_copy(old, sizeof(old), c->record.seen);
	rc = hf_commit_follow(a, c, NULL, e);
	if (!rc)
		rc = settle(a, c, old, e);
	if (rc == HF_REFUSED) /* by the broker: the certificate is none the worse for it */
		rc = e->rc = HF_FAILED;
	if (rc)
		return rc;
	(void)unlink(waiting);
	free(c->answer); /* @pem itself, or one that came to the same end by the file */
	c->answer = NULL;
	hf_log(HF_LOG_NOTICE, "certificate %s: a new one is in use, fingerprint %s, key %s",
	       c->conf->id, fresh, c->conf->key.name);
	hf_bundle_update(a);
	return HF_OK;
}

void hf_commit_restore(struct hf_agent *a, struct hf_credential *c)
{
	const char *files[] = { c->conf->file, c->conf->reference };
	HF_AUTO_BUF pem = HF_BUF(PEM_MAX);
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc = HF_OK;
	size_t i, lost = 0;

	for (i = 0; i < HF_COUNT(files); i++)
		lost += files[i][0] && access(files[i], F_OK) && errno == ENOENT;
	if (!lost || !c->held.leaf)
		return;
	hf_ca_chain(c->held.leaf, c, &pem);
	if (pem.bad)
		rc = hf_fail(&err, HF_NO_MEMORY, "out of memory");
	if (!rc && access(c->conf->file, F_OK))
		rc = write_file(c->conf, c->conf->file, pem.p, pem.n, &err);
	if (!rc && c->conf->reference[0])
		rc = write_reference(a, c, &err);
	if (rc)
		hf_log(HF_LOG_ERR, "certificate %s: its file is not there any more: %s",
		       c->conf->id, err.msg);
	else
		hf_log(HF_LOG_WARN,
		       "certificate %s: somebody removed %s, or the reference to its key; it is "
		       "there again. For another one: holdfast cert reset %s",
		       c->conf->id, c->conf->file, c->conf->id);
}

void hf_commit_recover(struct hf_agent *a, struct hf_credential *c)
{
	HF_AUTO_BUF file = HF_BUF(PEM_MAX);
	struct hf_err err = HF_ERR_INIT;
	char waiting[HF_PATH_MAX];

	if (waiting_path(a, c, waiting, NULL))
		return;
	hf_file_sweep(c->conf->file);
	if (c->conf->reference[0])
		hf_file_sweep(c->conf->reference);
	if (access(waiting, F_OK))
		return;
	if (c->record.staged[0] && !hf_file_read(waiting, true, &file, &err) &&
	    strlen((const char *)file.p) == file.n) {
		if (!hf_commit(a, c, (const char *)file.p, &err))
			return;
		hf_log(HF_LOG_WARN, "certificate %s: one was waiting to be put into use: %s",
		       c->conf->id, err.msg);
		if (err.rc != HF_REFUSED)
			return; /* it waits on */
	}
	(void)unlink(waiting);
}
