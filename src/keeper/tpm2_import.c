/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that were not made by us: files of other tools, and software keys that somebody has wrapped
 * to the owner's primary key (TPM 2.0 Library, part 1, 23.3). A key is loaded and used once before
 * it counts.
 */
#include <string.h>

#include "keeper/keyfile.h"
#include "keeper/prove.h"
#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"
#include "keeper/tpm2_parent.h"
#include "keeper/tpm2_public.h"

#define MADE_IN_TPM                                                                                \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN)

struct import {
	const hf_KeeperImport *req;
	struct hf_keyfile file;
	struct hf_tpm2_public pub;
	uint8_t priv[2048]; /* what TPM2_Import gave; file.priv points to it then */
	hf_KeeperCreated *out;
};

static enum hf_rc wrap(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	hf_WrapInfo *out = arg;

	if (!HF_PB_SET(out->public_key, t->primary.pub, t->primary.pub_n))
		return hf_fail(e, HF_FAILED, "the primary's public area is too long");
	return HF_OK;
}

enum hf_rc hf_tpm2_wrap(struct hf_backend *b, hf_WrapInfo *out, struct hf_err *e)
{
	(void)hf_copy(out->type, sizeof(out->type), "tpm2");
	out->parent = HF_TPM2_OWNER_PARENT;
	return hf_tpm2_run((struct hf_tpm2 *)b, "wrap", wrap, out, e);
}

static const struct hf_algorithm *algorithm_of(const struct hf_tpm2_public *pub)
{
	const struct hf_algorithm *a;

	for (a = hf_algorithms; a->name; a++)
		if (hf_tpm2_possible(a) && hf_tpm2_is_kind(pub, a))
			return a;
	return NULL;
}

/*
 * A key that is not noDA, as other tools make them, is taken: people have such keys. It works, but
 * a few power cuts in a row make the TPM refuse it for a while; docs/PROTOCOL.md tells.
 */
static enum hf_rc check_attributes(const struct import *i, struct hf_err *e)
{
	uint32_t a = i->pub.attributes, usage = i->req->usage;

	if (a & TPMA_OBJECT_RESTRICTED)
		return hf_fail(e, HF_UNSUPPORTED,
			       "the key is restricted to the TPM's own structures");
	if (!(a & TPMA_OBJECT_USERWITHAUTH) || i->pub.restricted_to_policy)
		return hf_fail(e, HF_UNSUPPORTED,
			       "the key wants a policy; holdfast uses keys without one");
	if ((usage & (HF_USAGE_SIGN | HF_USAGE_CA)) && !(a & TPMA_OBJECT_SIGN_ENCRYPT))
		return hf_fail(e, HF_ARGUMENT,
			       "the key was not made for signing; its usage is decrypt "
			       "(RSA) or derive (EC)");
	if ((usage & (HF_USAGE_DECRYPT | HF_USAGE_DERIVE)) && !(a & TPMA_OBJECT_DECRYPT))
		return hf_fail(e, HF_ARGUMENT,
			       "the key was made for signing only; its usage is sign or ca");
	return HF_OK;
}

static enum hf_rc check(struct import *i, struct hf_err *e)
{
	hf_KeeperCreated *out = i->out;
	HF_AUTO_BUF spki = HF_BUF(sizeof(out->spki.bytes));
	const struct hf_algorithm *a;
	uint8_t hash[32];
	enum hf_rc rc;

	rc = hf_tpm2_public_read((struct hf_view){ i->file.pub.p + 2, i->file.pub.n - 2 }, &i->pub,
				 e);
	if (!rc)
		rc = check_attributes(i, e);
	if (rc)
		return rc;
	a = algorithm_of(&i->pub);
	if (!a)
		return hf_fail(
			e, HF_UNSUPPORTED,
			"the key is of a kind, a size or a curve that holdfast does not use, "
			"or is bound to one signature scheme");
	rc = hf_tpm2_usage_fits(a, i->req->usage, e);
	if (!rc)
		rc = hf_tpm2_public_spki(&i->pub, &spki, e);
	if (!rc)
		rc = hf_hash("SHA2-256", HF_VIEW_BUF(&spki), hash, e);
	if (rc)
		return rc;
	(void)HF_PB_SET(out->spki, spki.p, spki.n);
	(void)HF_PB_SET(out->spki_sha256, hash, sizeof(hash));
	(void)hf_copy(out->algorithm, sizeof(out->algorithm), a->name);
	out->imported = i->file.secret.n || (i->pub.attributes & MADE_IN_TPM) != MADE_IN_TPM;
	out->outside = !i->file.secret.n;
	return HF_OK;
}

/* TPM2_Import: from wrapped for anybody who has the primary to wrapped by the primary. */
static enum hf_rc unwrap(struct hf_tpm2 *t, struct import *i, struct hf_err *e)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	struct hf_view priv;
	struct hf_tpm2_parent parent;
	uint32_t code;
	enum hf_rc rc;

	rc = hf_tpm2_room(t, 2, e);
	if (!rc)
		rc = hf_tpm2_parent_get(t, &i->file, &parent, e);
	if (rc)
		return rc;
	hf_tpm2_cmd_init(&c, TPM2_CC_Import, parent.handle, 0);
	hf_tpm2_put2b(&c, NULL, 0); /* no inner wrapping */
	hf_tpm2_put(&c, i->file.pub.p, i->file.pub.n);
	hf_tpm2_put(&c, i->file.priv.p, i->file.priv.n);
	hf_tpm2_put(&c, i->file.secret.p, i->file.secret.n);
	hf_tpm2_put16(&c, TPM2_ALG_NULL);
	code = hf_tpm2_call_secret(t, &c, parent.name, &rsp);
	priv = hf_rd_2b(&rsp.params);
	hf_tpm2_parent_put(t, &parent);
	if (!code && (!hf_rd_end(&rsp.params) || !priv.n || priv.n + 2 > sizeof(i->priv)))
		code = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (code && hf_tpm2_meaning(code)->class == HF_TPM2_FINAL)
		return hf_fail(
			e, HF_GONE,
			"the TPM does not take it (0x%x): wrapped to another TPM, or damaged",
			code);
	if (code)
		return hf_tpm2_fail(t, code, e, "import the key");
	memcpy(i->priv, priv.p - 2, priv.n + 2);
	i->file.priv = (struct hf_view){ i->priv, priv.n + 2 };
	return HF_OK;
}

static enum hf_rc import_once(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct import *i = arg, mine = *i;
	HF_AUTO_BUF pem = HF_BUF(HF_KEYFILE_MAX);
	uint32_t handle;
	enum hf_rc rc = HF_OK;

	if (mine.file.secret.n)
		rc = unwrap(t, &mine, e);
	if (!rc)
		rc = hf_tpm2_load(t, &mine.file, &handle, e);
	if (rc && t->code && hf_tpm2_meaning(t->code)->class == HF_TPM2_FINAL && !i->file.secret.n)
		return hf_fail(
			e, HF_GONE,
			"the TPM does not load it (0x%x): made by another TPM, below another "
			"primary key, or damaged",
			t->code);
	if (rc)
		return rc;
	(void)hf_tpm2_flush(t, handle);
	if (hf_tpm2_parent_is_ours(t, mine.file.parent))
		mine.file.parent = HF_TPM2_OWNER_PARENT;
	rc = hf_keyfile_encode(&mine.file, &pem, e);
	if (!rc && !HF_PB_SET(i->out->blob, pem.p, pem.n))
		rc = hf_fail(e, HF_FAILED, "the key file is too long");
	return rc;
}

static void forget_key(struct hf_tpm2 *t, const hf_KeeperCreated *made)
{
	hf_KeeperKey key = { .usage = 0 };
	struct hf_tpm2_key *k;

	(void)HF_PB_SET(key.spki_sha256, made->spki_sha256.bytes, made->spki_sha256.size);
	k = hf_tpm2_key_find(t, &key);
	if (k)
		hf_tpm2_key_drop(t, k, true);
}

/*
 * Loading shows that the halves belong together, not that the key can be used. What is loaded is
 * known by its public half: one of another file is not to be taken for this one, nor the other
 * way round if the broker has that key already and refuses this.
 */
static enum hf_rc prove(struct hf_tpm2 *t, const hf_KeeperImport *req, const hf_KeeperCreated *made,
			struct hf_err *e)
{
	enum hf_rc rc;

	forget_key(t, made);
	rc = hf_prove(&t->base, made, req->usage, e);
	forget_key(t, made);
	if (!rc)
		return HF_OK;
	if (hf_tpm2_code_is_auth(t->code))
		return hf_fail(e, HF_UNSUPPORTED,
			       "the key wants a password; holdfast uses keys without one");
	return hf_within(e, "trying the key");
}

enum hf_rc hf_tpm2_import(struct hf_backend *b, const hf_KeeperImport *req, struct hf_view blob,
			  hf_KeeperCreated *out, struct hf_err *e)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	struct import i = { .req = req, .out = out };
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	enum hf_rc rc;

	if (strcmp(req->format, "tss2"))
		return hf_fail(e, HF_UNSUPPORTED, "a TPM takes keys as tss2, not as '%s'",
			       req->format);
	rc = hf_keyfile_decode_any(blob, &der, &i.file, e);
	if (!rc)
		rc = check(&i, e);
	if (!rc)
		rc = hf_tpm2_run(t, "import", import_once, &i, e);
	return rc ? rc : prove(t, req, out, e);
}
