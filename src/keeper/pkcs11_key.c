/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_key.c: from the file of a key to its object, remembered; and the way back. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_public.h"
#include "keeper/prove.h"

#define KEYS_MAX    256u
#define DOUBLES_MAX 8u

static void key_free(struct hf_p11 *t, struct hf_p11_key **at)
{
	struct hf_p11_key *k = *at;

	*at = k->next;
	hf_public_free(k->pub);
	free(k);
	t->n_keys--;
}

void hf_p11_keys_drop(struct hf_p11 *t)
{
	while (t->keys)
		key_free(t, &t->keys);
}

void hf_p11_key_forget(struct hf_p11 *t, const uint8_t spki_sha256[32])
{
	struct hf_p11_key **at;

	for (at = &t->keys; *at; at = &(*at)->next)
		if (!memcmp((*at)->spki_sha256, spki_sha256, 32)) {
			key_free(t, at);
			return;
		}
}

/* Found: in front. */
static struct hf_p11_key *remembered(struct hf_p11 *t, const uint8_t spki_sha256[32])
{
	struct hf_p11_key **at, *k;

	for (at = &t->keys; (k = *at); at = &k->next) {
		if (memcmp(k->spki_sha256, spki_sha256, 32))
			continue;
		*at = k->next;
		k->next = t->keys;
		t->keys = k;
		return k;
	}
	return NULL;
}

static void forget_oldest(struct hf_p11 *t)
{
	struct hf_p11_key **at;

	for (at = &t->keys; (*at)->next; at = &(*at)->next)
		;
	key_free(t, at);
}

enum hf_rc hf_p11_key_uri(struct hf_view pem, P11KitUri **out, struct hf_err *e)
{
	char text[HF_P11_URI_MAX];
	enum hf_rc rc = hf_p11_file_decode(pem, text, e);

	*out = rc ? NULL : p11_kit_uri_new();
	if (rc)
		return rc;
	if (*out && p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, *out) == P11_KIT_URI_OK &&
	    (p11_kit_uri_get_attribute(*out, CKA_ID) || p11_kit_uri_get_attribute(*out, CKA_LABEL)))
		return HF_OK;
	p11_kit_uri_free(*out);
	*out = NULL;
	return hf_fail(e, HF_CORRUPT, "key file: its URI has neither id nor object");
}

enum hf_rc hf_p11_key_find(struct hf_p11 *t, P11KitUri *uri, CK_OBJECT_HANDLE *out,
			   struct hf_err *e)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE match[2] = { { CKA_CLASS, &class, sizeof(class) }, { 0, NULL, 0 } };
	CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);
	CK_ULONG n;
	CK_RV rv;

	/* Labels are for people, who change them; the id is the key's. */
	match[1] = id ? *id : *p11_kit_uri_get_attribute(uri, CKA_LABEL);
	rv = hf_p11_find(t, match, 2, out, 1, &n);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "look for the key");
	if (n == 1 && *out != CK_INVALID_HANDLE)
		return HF_OK;
	if (n > 1)
		return hf_fail(e, HF_CORRUPT,
			       "several private keys in the token have the %s of this one",
			       id ? "id" : "label");
	t->rv = HF_P11_RV_UNSEEN;
	return hf_fail(e, HF_GONE,
		       "the token %s does not have the key any more, or not for this PIN",
		       t->label);
}

static enum hf_rc bring_in(struct hf_p11 *t, const hf_KeeperKey *key, struct hf_p11_key *k,
			   struct hf_err *e)
{
	P11KitUri *uri;
	enum hf_rc rc;

	rc = hf_p11_key_uri((struct hf_view){ key->blob.bytes, key->blob.size }, &uri, e);
	if (rc)
		return rc;
	rc = hf_p11_key_find(t, uri, &k->handle, e);
	p11_kit_uri_free(uri);
	if (!rc)
		rc = hf_public_new(&k->pub, (struct hf_view){ key->spki.bytes, key->spki.size }, e);
	if (!rc)
		k->pin_each_time = hf_p11_is_true(t, k->handle, CKA_ALWAYS_AUTHENTICATE);
	return rc;
}

enum hf_rc hf_p11_key_get(struct hf_p11 *t, const hf_KeeperKey *key, struct hf_p11_key **out,
			  struct hf_err *e)
{
	struct hf_p11_key *k = remembered(t, key->spki_sha256.bytes);
	enum hf_rc rc;

	*out = k;
	if (k)
		return HF_OK;
	k = calloc(1, sizeof(*k));
	if (!k)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	memcpy(k->spki_sha256, key->spki_sha256.bytes, 32);
	rc = bring_in(t, key, k, e);
	if (rc) {
		hf_public_free(k->pub);
		free(k);
		return rc;
	}
	if (t->n_keys >= KEYS_MAX)
		forget_oldest(t);
	k->next = t->keys;
	t->keys = k;
	t->n_keys++;
	*out = k;
	return HF_OK;
}

/* The URI that finds the key again: the token's label for people, the id for us. */
static bool format(struct hf_p11 *t, CK_ATTRIBUTE *id, CK_ATTRIBUTE *label, bool adopted,
		   char **out)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE type = { CKA_CLASS, &class, sizeof(class) };
	P11KitUri *uri = p11_kit_uri_new();
	CK_TOKEN_INFO *token = uri ? p11_kit_uri_get_token_info(uri) : NULL;
	bool good = token && p11_kit_uri_set_attribute(uri, &type) == P11_KIT_URI_OK;

	if (good) {
		memset(token->label, ' ', sizeof(token->label));
		memcpy(token->label, t->label, strlen(t->label));
		if (id)
			good = p11_kit_uri_set_attribute(uri, id) == P11_KIT_URI_OK;
		if (good && label)
			good = p11_kit_uri_set_attribute(uri, label) == P11_KIT_URI_OK;
		if (good && adopted)
			good = p11_kit_uri_set_vendor_query(uri, HF_P11_ADOPTED, "yes") == 1;
	}
	good = good &&
	       p11_kit_uri_format(uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, out) == P11_KIT_URI_OK;
	p11_kit_uri_free(uri);
	return good;
}

static enum hf_rc tell(const char *uri, const struct hf_buf *spki, hf_KeeperCreated *out,
		       struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(sizeof(out->blob.bytes));
	enum hf_rc rc = hf_p11_file_encode(uri, &pem, e);
	uint8_t hash[32];

	if (!rc)
		rc = hf_hash("SHA2-256", HF_VIEW_BUF(spki), hash, e);
	if (rc)
		return rc;
	if (!HF_PB_SET(out->blob, pem.p, pem.n) || !HF_PB_SET(out->spki, spki->p, spki->n))
		return hf_fail(e, HF_FAILED, "the key file is too long");
	(void)HF_PB_SET(out->spki_sha256, hash, sizeof(hash));
	return HF_OK;
}

static CK_ATTRIBUTE id_of(const struct hf_p11_names *names)
{
	return (CK_ATTRIBUTE){ CKA_ID, (void *)(uintptr_t)names->id, sizeof(names->id) };
}

enum hf_rc hf_p11_key_tell(struct hf_p11 *t, const struct hf_p11_names *names,
			   const struct hf_buf *spki, hf_KeeperCreated *out, struct hf_err *e)
{
	CK_ATTRIBUTE id = id_of(names);
	CK_ATTRIBUTE label = { CKA_LABEL, (void *)(uintptr_t)names->label,
			       (CK_ULONG)strlen(names->label) };

	return hf_p11_key_tell_adopted(t, &id, &label, false, spki, out, e);
}

enum hf_rc hf_p11_key_tell_adopted(struct hf_p11 *t, CK_ATTRIBUTE *id, CK_ATTRIBUTE *label,
				   bool adopted, const struct hf_buf *spki, hf_KeeperCreated *out,
				   struct hf_err *e)
{
	char *uri = NULL;
	enum hf_rc rc;

	if (!format(t, id, label, adopted, &uri))
		return hf_fail(e, HF_FAILED, "the key's URI cannot be written");
	rc = tell(uri, spki, out, e);
	free(uri);
	return rc;
}

/* What was asked for and what came are two things with some tokens. */
enum hf_rc hf_p11_check_kept_in(struct hf_p11 *t, CK_OBJECT_HANDLE key, struct hf_err *e)
{
	struct hf_p11_answer a;
	bool leaves;

	leaves = hf_p11_get(t, key, CKA_EXTRACTABLE, &a) != CKR_OK || a.n != 1 || a.bytes[0];
	if (!leaves && hf_p11_is_true(t, key, CKA_SENSITIVE))
		return HF_OK;
	return hf_fail(e, HF_FAILED,
		       "the token made a key that can be read out of it; it was destroyed");
}

enum hf_rc hf_p11_check_usage(enum hf_family family, uint32_t usage, struct hf_err *e)
{
	const uint32_t known = HF_USAGE_SIGN | HF_USAGE_CA | HF_USAGE_DECRYPT | HF_USAGE_DERIVE;

	if (!usage || (usage & ~known))
		return hf_fail(e, HF_ARGUMENT, "unknown usage 0x%x", (unsigned)usage);
	if ((usage & HF_USAGE_CA) && usage != HF_USAGE_CA)
		return hf_fail(e, HF_ARGUMENT, "a ca key cannot have another usage beside");
	if ((usage & HF_USAGE_DECRYPT) && family != HF_FAMILY_RSA)
		return hf_fail(e, HF_ARGUMENT,
			       "usage decrypt is for RSA keys; for EC it is derive");
	if ((usage & HF_USAGE_DERIVE) && family != HF_FAMILY_EC)
		return hf_fail(e, HF_ARGUMENT, "usage derive is for EC keys");
	return HF_OK;
}

enum hf_rc hf_p11_key_destroy(struct hf_p11 *t, void *id, struct hf_err *e)
{
	static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY };
	CK_ATTRIBUTE match[2] = { { 0, NULL, 0 }, *(CK_ATTRIBUTE *)id };
	CK_OBJECT_HANDLE found[DOUBLES_MAX];
	CK_ULONG n, at;
	CK_RV rv = CKR_OK;
	size_t i;

	for (i = 0; i < HF_COUNT(classes) && rv == CKR_OK; i++) {
		match[0] = (CK_ATTRIBUTE){ CKA_CLASS, (void *)(uintptr_t)&classes[i],
					   sizeof(classes[i]) };
		rv = hf_p11_find(t, match, 2, found, DOUBLES_MAX, &n);
		for (at = 0; at < n && at < DOUBLES_MAX && rv == CKR_OK; at++) {
			rv = t->f->C_DestroyObject(t->session, found[at]);
			if (rv == CKR_OBJECT_HANDLE_INVALID)
				rv = CKR_OK; /* another keeper was first */
		}
	}
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "destroy the key");
}

enum hf_rc hf_p11_key_begin(struct hf_p11 *t, const struct hf_p11_names *names, bool *begun,
			    struct hf_err *e)
{
	CK_ATTRIBUTE id = id_of(names);
	enum hf_rc rc = *begun ? hf_p11_key_destroy(t, &id, e) : HF_OK;

	*begun = true;
	return rc;
}

void hf_p11_key_undo(struct hf_p11 *t, const struct hf_p11_names *names, struct hf_err *e)
{
	CK_ATTRIBUTE id = id_of(names);

	/* Without a login it cannot be looked for, and this request has had its one. */
	if (t->login_failed || hf_p11_run(t, "clear up", hf_p11_key_destroy, &id, NULL))
		(void)hf_within(e, "a key may be left in the token under the label %s",
				names->label);
}

enum hf_rc hf_p11_prove(struct hf_p11 *t, const hf_KeeperCreated *made, uint32_t usage,
			struct hf_err *e)
{
	enum hf_rc rc;

	/* The same pair may be known by another file: it is this one's object that has to work. */
	hf_p11_key_forget(t, made->spki_sha256.bytes);
	rc = hf_prove(&t->base, made, usage, e);
	if (t->rv == HF_P11_RV_UNSEEN) /* of what has just been made nobody has lost sight */
		t->rv = CKR_OK;
	return rc ? hf_within(e, "trying the key and its public half") : HF_OK;
}
