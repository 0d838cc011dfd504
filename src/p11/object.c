/* SPDX-License-Identifier: Apache-2.0 */
/* object.c: which objects there are. */
#include "p11/object.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "base/process.h"

#define FRESH_MS  500u
#define CERTS_DIR "/var/aziot/certs"
#define KIND	  0xff000000ul

bool hf_p11_object(const struct hf_p11 *p, ck_object_handle_t handle, struct hf_p11_object *out)
{
	size_t i = handle & ~KIND;

	memset(out, 0, sizeof(*out));
	switch (handle & KIND) {
	case HF_P11_PUBLIC:
	case HF_P11_PRIVATE:
		out->class = (handle & KIND) == HF_P11_PUBLIC ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY;
		out->key = i < p->n_keys ? p->keys[i] : NULL;
		return out->key;
	case HF_P11_CERT:
		out->class = CKO_CERTIFICATE;
		out->cert = i < p->n_certs ? p->certs[i] : NULL;
		return out->cert;
	case HF_P11_SECRET:
		out->class = CKO_SECRET_KEY;
		for (out->secret = p->secrets; out->secret; out->secret = out->secret->next)
			if (out->secret->number == i)
				break;
		return out->secret;
	default:
		return false;
	}
}

static void key_free(struct hf_p11_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pub);
	free(k->spki);
	free(k);
}

void hf_p11_objects_free(struct hf_p11 *p)
{
	size_t i;

	for (i = 0; i < p->n_keys; i++)
		key_free(p->keys[i]);
	for (i = 0; i < p->n_certs; i++)
		hf_p11_cert_free(p->certs[i]);
	free(p->keys);
	free(p->certs);
	hf_p11_secrets_free(p, 0);
}

void hf_p11_secrets_free(struct hf_p11 *p, ck_session_handle_t session)
{
	struct hf_p11_secret **at = &p->secrets, *s;

	while ((s = *at)) {
		if (session && s->session != session) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		explicit_bzero(s, sizeof(*s));
		free(s);
	}
}

/* Room for one more pointer in a list that grows by doubling. */
static bool grow(void ***list, size_t n)
{
	void **more;

	if (n >= HF_P11_OBJECTS)
		return false;
	if (n & (n - 1)) /* not a power of two: there is room */
		return true;
	more = reallocarray(*list, n ? 2 * n : 1, sizeof(**list));
	if (!more)
		return false;
	*list = more;
	return true;
}

/* ---- keys */

static struct hf_p11_key *find_key(const struct hf_p11 *p, const char *name, const uint8_t *id)
{
	size_t i;

	for (i = 0; i < p->n_keys; i++)
		if (!memcmp(p->keys[i]->id, id, 32) && !strcmp(p->keys[i]->name, name))
			return p->keys[i];
	return NULL;
}

static struct hf_p11_key *key_of(OSSL_LIB_CTX *ctx, const hf_KeyInfo *info)
{
	struct hf_p11_key *k = calloc(1, sizeof(*k));
	const unsigned char *at = info->spki.bytes;
	size_t i, len = sizeof(k->id);

	if (!k)
		return NULL;
	ERR_set_mark();
	(void)hf_copy(k->name, sizeof(k->name), info->name);
	k->algorithm = hf_algorithm_find(info->algorithm);
	k->usage = info->usage;
	k->exported = info->exported;
	for (i = 0; i < info->generations_count; i++)
		if (!memcmp(info->generations[i].spki_sha256.bytes, info->spki_sha256.bytes, 32))
			k->imported = info->generations[i].imported;
	k->n_spki = info->spki.size;
	k->spki = malloc(k->n_spki + 1);
	k->pub = d2i_PUBKEY_ex(NULL, &at, (long)k->n_spki, ctx, NULL);
	if (k->spki)
		memcpy(k->spki, info->spki.bytes, k->n_spki);
	if (!k->algorithm || !k->spki || !k->pub || at != info->spki.bytes + k->n_spki ||
	    !EVP_Q_digest(ctx, "SHA256", NULL, k->spki, k->n_spki, k->id, &len) ||
	    memcmp(k->id, info->spki_sha256.bytes, 32) != 0) {
		key_free(k); /* an algorithm of a later version, or nonsense */
		k = NULL;
	}
	ERR_pop_to_mark();
	return k;
}

/* One look at the broker's list and at the certificates. */
struct look {
	struct hf_p11 *p;
	unsigned round;
	struct hf_p11_cert **certs; /* of the directory, whosever they are */
	size_t n_certs;
	hf_KeyInfo info; /* space */
};

static enum hf_rc ask(struct look *l, const struct hf_broker_key *which, struct hf_err *e)
{
	enum hf_rc rc;

	pthread_mutex_unlock(&l->p->lock);
	rc = hf_broker_key_get(l->p->link, which, &l->info, e);
	pthread_mutex_lock(&l->p->lock);
	return rc;
}

/* A later look may be over before an earlier one: numbers only rise. */
static void seen(unsigned *at, unsigned round)
{
	if (*at < round)
		*at = round;
}

/* One generation of a key is there. The lock is given up while more is asked about it. */
static enum hf_rc see(struct look *l, const struct hf_broker_key *which, struct hf_err *e)
{
	struct hf_p11_key *k = find_key(l->p, which->name, which->spki_sha256), *made = NULL;
	enum hf_rc rc;

	if (!k) {
		rc = ask(l, which, e);
		if (rc == HF_NO_KEY) /* deleted or rotated meanwhile */
			return HF_OK;
		made = rc ? NULL : key_of(l->p->ctx, &l->info);
		if (rc || !made)
			return rc;
		k = find_key(l->p, which->name, which->spki_sha256);
	}
	if (!k && grow((void ***)&l->p->keys, l->p->n_keys)) {
		k = l->p->keys[l->p->n_keys++] = made;
		made = NULL;
	}
	key_free(made);
	if (k)
		seen(&k->seen, l->round);
	return HF_OK;
}

static bool certified(const struct look *l, const uint8_t id[32])
{
	size_t i;

	for (i = 0; i < l->n_certs; i++)
		if (!memcmp(l->certs[i]->id, id, 32))
			return true;
	return false;
}

/*
 * The generation before, or the next one, while the certificate on the disk is of it: the pair
 * is what servers use, and the broker keeps it usable for that long.
 */
static enum hf_rc see_others(struct look *l, const hf_KeySummary *s, struct hf_err *e)
{
	struct hf_broker_key which = { s->name, s->spki_sha256.bytes };
	uint8_t ids[HF_COUNT(l->info.generations)][32];
	enum hf_rc rc = ask(l, &which, e);
	size_t i, n = 0;

	for (i = 0; !rc && i < l->info.generations_count; i++) {
		const uint8_t *id = l->info.generations[i].spki_sha256.bytes;

		if (memcmp(id, s->spki_sha256.bytes, 32) != 0 && certified(l, id))
			memcpy(ids[n++], id, 32);
	}
	for (i = 0; !rc && i < n; i++) {
		which.spki_sha256 = ids[i];
		rc = see(l, &which, e);
	}
	return rc == HF_NO_KEY ? HF_OK : rc;
}

static enum hf_rc see_key(struct look *l, const hf_KeySummary *s, struct hf_err *e)
{
	struct hf_broker_key which = { s->name, s->spki_sha256.bytes };
	enum hf_rc rc = HF_OK;

	if (s->spki_sha256.size != 32)
		return HF_OK;
	if (s->generations > 1 && l->n_certs)
		rc = see_others(l, s, e);
	return rc ? rc : see(l, &which, e);
}

static enum hf_rc list_keys(struct look *l, struct hf_err *e)
{
	hf_KeyListReply *list = calloc(1, sizeof(*list));
	char after[64] = "";
	enum hf_rc rc = list ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	size_t i;

	while (!rc) {
		pthread_mutex_unlock(&l->p->lock);
		rc = hf_broker_key_list(l->p->link, after, list, e);
		pthread_mutex_lock(&l->p->lock);
		for (i = 0; !rc && i < list->keys_count; i++)
			rc = see_key(l, &list->keys[i], e);
		if (rc || !list->more || !list->keys_count ||
		    strcmp(list->keys[list->keys_count - 1].name, after) <= 0)
			break;
		(void)hf_copy(after, sizeof(after), list->keys[list->keys_count - 1].name);
	}
	free(list);
	return rc;
}

/* ---- certificates */

static bool wanted(const struct look *l, const struct hf_p11_cert *c)
{
	bool found = false;
	size_t i;

	for (i = 0; i < l->p->n_keys; i++) {
		struct hf_p11_key *k = l->p->keys[i];

		if (k->seen >= l->round && !memcmp(k->id, c->id, 32)) {
			seen(&k->certified, l->round);
			found = true;
		}
	}
	return found;
}

/* Takes the certificates that it keeps out of @l. */
static void keep_certs(struct look *l)
{
	struct hf_p11 *p = l->p;
	size_t i, j;

	for (i = 0; i < l->n_certs; i++) {
		struct hf_p11_cert *c = l->certs[i];

		if (!wanted(l, c))
			continue;
		for (j = 0; j < p->n_certs; j++)
			if (p->certs[j]->n_der == c->n_der &&
			    !memcmp(p->certs[j]->der, c->der, c->n_der))
				break;
		if (j == p->n_certs && grow((void ***)&p->certs, p->n_certs)) {
			p->certs[p->n_certs++] = c;
			l->certs[i] = NULL;
		}
		if (j < p->n_certs)
			seen(&p->certs[j]->seen, l->round);
	}
}

static void look_free(struct look *l)
{
	size_t i;

	for (i = 0; i < l->n_certs; i++)
		hf_p11_cert_free(l->certs[i]);
	free(l->certs);
	free(l);
}

enum hf_rc hf_p11_refresh(struct hf_p11 *p, struct hf_err *e)
{
	const char *directory = secure_getenv("HOLDFAST_CERTS");
	struct look *l;
	enum hf_rc rc;

	if (p->looked_at && hf_now_ms() - p->looked_at < FRESH_MS)
		return HF_OK;
	l = calloc(1, sizeof(*l));
	if (!l)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	l->p = p;
	l->round = p->round + 1;
	pthread_mutex_unlock(&p->lock);
	l->certs = hf_p11_certs_read(p->ctx, directory ? directory : CERTS_DIR, &l->n_certs);
	pthread_mutex_lock(&p->lock);
	rc = list_keys(l, e);
	if (!rc) {
		keep_certs(l);
		seen(&p->round, l->round);
		p->looked_at = hf_now_ms();
	}
	look_free(l);
	return rc;
}

/* ---- search */

static bool matches(const struct hf_p11_object *o, const struct ck_attribute *templ,
		    unsigned long n)
{
	unsigned char space[4200];
	unsigned long i;

	for (i = 0; i < n; i++) {
		struct ck_attribute a = { templ[i].type, space, sizeof(space) };

		if (hf_p11_attribute(o, &a) || a.value_len != templ[i].value_len ||
		    (a.value_len && memcmp(space, templ[i].value, a.value_len) != 0))
			return false;
	}
	return true;
}

struct hits {
	ck_object_handle_t *handles;
	size_t n;
};

static void try(const struct hf_p11 *p, ck_object_handle_t handle, const struct ck_attribute *templ,
		unsigned long n, struct hits *h)
{
	struct hf_p11_object o;

	if (hf_p11_object(p, handle, &o) && matches(&o, templ, n))
		h->handles[h->n++] = handle;
}

static void try_keys(const struct hf_p11 *p, bool with_certificate,
		     const struct ck_attribute *templ, unsigned long n, struct hits *h)
{
	size_t i;

	for (i = 0; i < p->n_keys; i++) {
		const struct hf_p11_key *k = p->keys[i];

		if (!p->round || k->seen < p->round ||
		    (k->certified >= p->round) != with_certificate)
			continue;
		try(p, HF_P11_PRIVATE | i, templ, n, h);
		try(p, HF_P11_PUBLIC | i, templ, n, h);
	}
}

bool hf_p11_match(const struct hf_p11 *p, const struct ck_attribute *templ, unsigned long n,
		  ck_object_handle_t **out, size_t *n_out)
{
	struct hits h = { NULL, 0 };
	const struct hf_p11_secret *s;
	size_t i, most = 2 * p->n_keys + p->n_certs + 1;

	for (s = p->secrets; s; s = s->next)
		most++;
	h.handles = calloc(most, sizeof(*h.handles));
	if (!h.handles)
		return false;
	/* Pairs with a certificate first: of two generations, programs take what they see first. */
	try_keys(p, true, templ, n, &h);
	try_keys(p, false, templ, n, &h);
	for (i = 0; i < p->n_certs; i++)
		if (p->certs[i]->seen >= p->round)
			try(p, HF_P11_CERT | i, templ, n, &h);
	for (s = p->secrets; s; s = s->next)
		try(p, HF_P11_SECRET | s->number, templ, n, &h);
	*out = h.handles;
	*n_out = h.n;
	return true;
}
