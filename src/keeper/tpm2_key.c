/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in the TPM. It has room for three or so; we remember up to KEYS_MAX, most of
 * them as saved contexts, last used first. A key that is neither loaded nor remembered
 * comes from its file, which every request carries.
 *
 * A saved object context can be loaded any number of times, so a key is saved once,
 * when it first has to go, and just flushed later. Coming back costs FlushContext,
 * ContextLoad and the command itself, not CreatePrimary and Load.
 */
#include <stdlib.h>
#include <string.h>

#include "keeper/keyfile.h"
#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_parent.h"
#include "keeper/tpm2_public.h"

#define KEYS_MAX 256u

static void unlink_key(struct hf_tpm2_key *k)
{
	k->prev->next = k->next;
	k->next->prev = k->prev;
}

static void link_first(struct hf_tpm2 *t, struct hf_tpm2_key *k)
{
	k->prev = &t->head;
	k->next = t->head.next;
	t->head.next->prev = k;
	t->head.next = k;
}

struct hf_tpm2_key *hf_tpm2_key_find(struct hf_tpm2 *t, const hf_KeeperKey *key)
{
	struct hf_tpm2_key *k;

	for (k = t->head.next; k != &t->head; k = k->next)
		if (!memcmp(k->spki_sha256, key->spki_sha256.bytes, sizeof(k->spki_sha256)))
			return k;
	return NULL;
}

static void unload(struct hf_tpm2 *t, struct hf_tpm2_key *k, bool flush)
{
	if (!k->handle)
		return;
	if (flush)
		(void)hf_tpm2_flush(t, k->handle);
	k->handle = 0;
	t->loaded--;
}

void hf_tpm2_key_drop(struct hf_tpm2 *t, struct hf_tpm2_key *k, bool flush)
{
	unload(t, k, flush);
	unlink_key(k);
	hf_public_free(k->pub);
	hf_tpm2_saved_free(&k->saved);
	free(k);
	t->keys--;
}

void hf_tpm2_keys_drop(struct hf_tpm2 *t, bool flush)
{
	while (t->head.next != &t->head)
		hf_tpm2_key_drop(t, t->head.next, flush && t->link.tcti);
}

void hf_tpm2_make_way(struct hf_tpm2 *t)
{
	struct hf_tpm2_key *k;

	for (k = t->head.next; k != &t->head; k = k->next)
		unload(t, k, true);
	hf_tpm2_primary_put(t);
	if (t->session.handle)
		(void)hf_tpm2_flush(t, t->session.handle);
	hf_tpm2_session_forget(&t->session);
	if (!t->shared)
		(void)hf_tpm2_flush_leftovers(t);
}

static struct hf_tpm2_key *victim(struct hf_tpm2 *t)
{
	struct hf_tpm2_key *k;

	for (k = t->head.prev; k != &t->head; k = k->prev)
		if (k->handle && !k->busy)
			return k;
	return NULL;
}

enum hf_rc hf_tpm2_room(struct hf_tpm2 *t, unsigned n, struct hf_err *e)
{
	struct hf_tpm2_key *k;
	uint32_t code = 0;

	while (t->loaded + n > t->slots && (k = victim(t))) {
		if (!k->saved.p)
			code = hf_tpm2_save(t, k->handle, &k->saved);
		/* Not saved is not lost: the file is still there. Only a dead TPM stops us. */
		if (code && hf_tpm2_meaning(code)->class != HF_TPM2_FINAL)
			return hf_tpm2_fail(t, code, e, "save a key's context");
		code = hf_tpm2_flush(t, k->handle);
		if (code)
			return hf_tpm2_fail(t, code, e, "flush a key");
		unload(t, k, false);
	}
	return HF_OK;
}

enum hf_rc hf_tpm2_load(struct hf_tpm2 *t, const struct hf_keyfile *file, uint32_t *handle,
			struct hf_err *e)
{
	struct hf_tpm2_parent parent;
	struct hf_tpm2_public pub;
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	struct hf_view name;
	uint32_t code;
	enum hf_rc rc;

	rc = hf_tpm2_public_read((struct hf_view){ file->pub.p + 2, file->pub.n - 2 }, &pub, e);
	if (!rc)
		rc = hf_tpm2_room(t, 2, e);
	if (!rc)
		rc = hf_tpm2_parent_get(t, file, &parent, e);
	if (rc)
		return rc;
	hf_tpm2_cmd_init(&c, TPM2_CC_Load, parent.handle, 0);
	hf_tpm2_put(&c, file->priv.p, file->priv.n);
	hf_tpm2_put(&c, file->pub.p, file->pub.n);
	code = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	name = hf_rd_2b(&rsp.params);
	/* The Name is the hash of the public area: what was loaded is what we sent. */
	if (!code && (!hf_rd_end(&rsp.params) || name.n != sizeof(pub.name) ||
		      memcmp(name.p, pub.name, name.n) || rsp.handle >> 24 != TPM2_HT_TRANSIENT)) {
		*handle = rsp.handle;
		(void)hf_tpm2_flush(t, *handle);
		code = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	}
	*handle = code ? 0 : rsp.handle;
	hf_tpm2_parent_put(t, &parent);
	if (hf_tpm2_code_is_auth(code) && parent.kind == HF_TPM2_PARENT_LYING) {
		t->code = 0; /* asking again would count as a second wrong password */
		return hf_fail(e, HF_UNSUPPORTED,
			       "its parent, the persistent key 0x%08x, has a password; holdfast "
			       "uses parents without one",
			       parent.handle);
	}
	return code ? hf_tpm2_fail(t, code, e, "load the key") : HF_OK;
}

/* The file's public half is the recorded key, and of a kind that may sign what it is asked to. */
static enum hf_rc check_public(const hf_KeeperKey *key, struct hf_view pub2b, struct hf_tpm2_key *k,
			       struct hf_err *e)
{
	HF_AUTO_BUF spki = HF_BUF(sizeof(key->spki.bytes));
	struct hf_tpm2_public pub;
	uint8_t hash[32];
	enum hf_rc rc;

	rc = hf_tpm2_public_read((struct hf_view){ pub2b.p + 2, pub2b.n - 2 }, &pub, e);
	if (!rc)
		rc = hf_tpm2_public_spki(&pub, &spki, e);
	if (!rc)
		rc = hf_hash("SHA2-256", HF_VIEW_BUF(&spki), hash, e);
	if (rc)
		return rc;
	if (spki.n != key->spki.size || memcmp(spki.p, key->spki.bytes, spki.n) ||
	    memcmp(hash, key->spki_sha256.bytes, sizeof(hash)))
		return hf_fail(e, HF_CORRUPT,
			       "the key file holds another key than its record says; "
			       "restore both from one backup");
	if (pub.attributes & TPMA_OBJECT_RESTRICTED)
		return hf_fail(e, HF_UNSUPPORTED,
			       "the key is restricted to the TPM's own structures");
	if (!(pub.attributes & TPMA_OBJECT_USERWITHAUTH) || pub.restricted_to_policy)
		return hf_fail(e, HF_UNSUPPORTED,
			       "the key wants a policy; holdfast uses keys without one");
	k->attributes = pub.attributes;
	memcpy(k->name, pub.name, sizeof(k->name));
	return HF_OK;
}

static enum hf_rc load_file(struct hf_tpm2 *t, const hf_KeeperKey *key, struct hf_tpm2_key *k,
			    struct hf_err *e)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	struct hf_keyfile file;
	enum hf_rc rc;

	rc = hf_keyfile_decode((struct hf_view){ key->blob.bytes, key->blob.size }, &der, &file, e);
	if (rc)
		return rc;
	rc = check_public(key, file.pub, k, e);
	return rc ? rc : hf_tpm2_load(t, &file, &k->handle, e);
}

static enum hf_rc bring_in(struct hf_tpm2 *t, const hf_KeeperKey *key, struct hf_tpm2_key *k,
			   struct hf_err *e)
{
	enum hf_rc rc;
	uint32_t code;

	if (k->saved.p) {
		rc = hf_tpm2_room(t, 1, e);
		if (rc)
			return rc;
		code = hf_tpm2_restore(t, &k->saved, &k->handle);
		/* Stale after a reset of the TPM: the file still works. */
		if (code && hf_tpm2_meaning(code)->class != HF_TPM2_FINAL)
			return hf_tpm2_fail(t, code, e, "load a key's context");
		if (code)
			hf_tpm2_saved_free(&k->saved);
	}
	rc = k->handle ? HF_OK : load_file(t, key, k, e);
	if (!rc)
		t->loaded++;
	return rc;
}

static enum hf_rc remember(struct hf_tpm2 *t, const hf_KeeperKey *key, struct hf_tpm2_key **out,
			   struct hf_err *e)
{
	struct hf_tpm2_key *k;
	enum hf_rc rc;

	if (t->keys >= KEYS_MAX && !t->head.prev->busy)
		hf_tpm2_key_drop(t, t->head.prev, true);
	k = calloc(1, sizeof(*k));
	if (!k)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_public_new(&k->pub, (struct hf_view){ key->spki.bytes, key->spki.size }, e);
	if (rc) {
		free(k);
		return rc;
	}
	memcpy(k->spki_sha256, key->spki_sha256.bytes, sizeof(k->spki_sha256));
	link_first(t, k);
	t->keys++;
	*out = k;
	return HF_OK;
}

enum hf_rc hf_tpm2_key_get(struct hf_tpm2 *t, const hf_KeeperKey *key, struct hf_tpm2_key **out,
			   struct hf_err *e)
{
	struct hf_tpm2_key *k = hf_tpm2_key_find(t, key);
	bool fresh;
	enum hf_rc rc;

	if (k && k->suspect) {
		hf_tpm2_key_drop(t, k, true);
		k = NULL;
	}
	fresh = !k;
	if (fresh) {
		rc = remember(t, key, &k, e);
		if (rc)
			return rc;
	}
	unlink_key(k);
	link_first(t, k);
	if (!k->handle) {
		rc = bring_in(t, key, k, e);
		if (rc) {
			if (fresh)
				hf_tpm2_key_drop(t, k, false);
			return rc;
		}
	}
	*out = k;
	return HF_OK;
}
