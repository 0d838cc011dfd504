/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/credential.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "agent/clock.h"
#include "agent/keys.h"
#include "est/certs.h"

#define CHAIN_MAX 16

int64_t hf_time_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static enum hf_rc read_chain(struct hf_held *h, const char *path, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(1u << 20);
	enum hf_rc rc = hf_file_read(path, false, &file, e);

	if (!rc && strlen((const char *)file.p) != file.n)
		rc = hf_fail(e, HF_CORRUPT, "%s: it is no PEM", path);
	if (!rc)
		rc = hf_certs_read((const char *)file.p, CHAIN_MAX, h->others, e);
	return rc;
}

void hf_held_read(struct hf_held *h, const char *path)
{
	struct hf_err err = HF_ERR_INIT;

	hf_held_finish(h);
	h->others = sk_X509_new_null();
	if (!h->others || (access(path, F_OK) && errno == ENOENT))
		return;
	if (read_chain(h, path, &err)) {
		(void)hf_copy(h->error, sizeof(h->error), err.msg);
		return;
	}
	h->leaf = sk_X509_shift(h->others);
	h->not_before = hf_time_of(X509_get0_notBefore(h->leaf));
	h->not_after = hf_time_of(X509_get0_notAfter(h->leaf));
	if (hf_keys_spki_sha256(X509_get0_pubkey(h->leaf), h->spki_sha256) &&
	    hf_cert_sha256(h->leaf, h->sha256))
		return;
	hf_held_finish(h);
	(void)snprintf(h->error, sizeof(h->error), "%.200s: its public key cannot be read", path);
}

void hf_held_finish(struct hf_held *h)
{
	X509_free(h->leaf);
	hf_certs_free(h->others);
	memset(h, 0, sizeof(*h));
}

bool hf_held_is_ahead(const struct hf_held *h, int64_t now)
{
	return h->leaf && h->not_before > now + HF_CLOCK_AHEAD_S;
}

static uint32_t seed_of(const struct hf_credential *c)
{
	uint32_t seed;

	/* Of the certificate, hence another one for each device and each renewal. */
	memcpy(&seed, c->held.sha256, sizeof(seed));
	return seed;
}

void hf_credential_plan(struct hf_credential *c, int64_t now)
{
	struct tm tm;
	time_t t = (time_t)now;
	struct hf_schedule s = {
		.renew = &c->conf->renew,
		.issued = c->held.leaf != NULL,
		.not_before = c->held.not_before,
		.not_after = c->held.not_after,
		.seed = seed_of(c),
		.tried = c->record.tried,
		.failures = (uint32_t)c->record.failures,
		.local = hf_record_local(&c->record),
		.retry_after = c->record.retry_after,
		.renewed = hf_record_renewed(&c->record),
		.wanted = c->record.wanted,
		.utc_offset = localtime_r(&t, &tm) ? tm.tm_gmtoff : 0,
	};

	c->next = HF_NEVER;
	if (!c->busy && strcmp(c->conf->method, "files"))
		c->next = hf_schedule_next(&s, now);
}

bool hf_credential_clamped(const struct hf_credential *c)
{
	struct hf_schedule s = { .renew = &c->conf->renew,
				 .not_before = c->held.not_before,
				 .not_after = c->held.not_after };

	return c->held.leaf && c->conf->renew.enabled && strcmp(c->conf->method, "files") != 0 &&
	       hf_schedule_clamped(&s);
}

void hf_credential_refresh(struct hf_credential *c, int64_t now)
{
	hf_held_read(&c->held, c->conf->file);
	hf_credential_plan(c, now);
}

void hf_credential_finish(struct hf_credential *c)
{
	hf_held_finish(&c->held);
	free(c->answer);
	c->answer = NULL;
}

static void digest_text(EVP_MD_CTX *ctx, const char *text)
{
	(void)EVP_DigestUpdate(ctx, text, strlen(text) + 1);
}

void hf_credential_settings(const struct hf_credential_conf *c, char out[65])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int64_t numbers[3] = { c->days, c->pathlen, c->ca };
	unsigned char hash[32];
	size_t i;

	(void)hf_copy(out, 65, "");
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return;
	}
	digest_text(ctx, c->method);
	digest_text(ctx, c->issuer);
	digest_text(ctx, c->key.name);
	digest_text(ctx, c->est.url);
	for (i = 0; i < c->n_subject; i++) {
		digest_text(ctx, c->subject[i][0]);
		digest_text(ctx, c->subject[i][1]);
	}
	digest_text(ctx, "");
	for (i = 0; i < c->n_sans; i++)
		digest_text(ctx, c->sans[i]);
	digest_text(ctx, "");
	for (i = 0; i < c->n_eku; i++)
		digest_text(ctx, c->eku[i]);
	(void)EVP_DigestUpdate(ctx, numbers, sizeof(numbers));
	if (EVP_DigestFinal_ex(ctx, hash, NULL) == 1)
		(void)hf_hex(out, 65, hash, sizeof(hash));
	EVP_MD_CTX_free(ctx);
}
