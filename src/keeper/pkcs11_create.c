/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_create.c: key pairs that the token makes itself and does not let out. */
#include <string.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_public.h"
#include "keeper/pkcs11_template.h"

struct order {
	const struct hf_algorithm *algorithm;
	const hf_KeeperCreate *req;
	hf_KeeperCreated *out;
	struct hf_p11_names names;
	bool begun;
};

static CK_RV generate(struct hf_p11 *t, struct order *o, struct hf_view params, bool all,
		      CK_OBJECT_HANDLE pair[2])
{
	static const CK_BYTE f4[] = { 1, 0, 1 };
	CK_MECHANISM m = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	struct hf_p11_template pub = { .n = 0 }, priv = { .n = 0 };
	CK_ULONG bits = o->algorithm->bits;

	hf_p11_add_names(&pub, &o->names);
	hf_p11_add_flag(&pub, CKA_PRIVATE, false);
	/*
	 * What the public half is for is not said: nobody needs the token for that, and
	 * tpm2-pkcs11 1.9 takes CKA_VERIFY for a wish that the private half decrypts.
	 */
	if (o->algorithm->family == HF_FAMILY_RSA) {
		m.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN;
		hf_p11_add(&pub, CKA_MODULUS_BITS, &bits, sizeof(bits));
		hf_p11_add(&pub, CKA_PUBLIC_EXPONENT, f4, sizeof(f4));
	} else {
		if (o->algorithm->family == HF_FAMILY_ED25519)
			m.mechanism = CKM_EC_EDWARDS_KEY_PAIR_GEN;
		hf_p11_add(&pub, CKA_EC_PARAMS, params.p, params.n);
	}
	hf_p11_add_private(&priv, &o->names, o->req->usage, all);
	return t->f->C_GenerateKeyPair(t->session, &m, pub.rows, pub.n, priv.rows, priv.n, &pair[0],
				       &pair[1]);
}

static bool refused(CK_RV rv)
{
	return rv != CKR_OK && hf_p11_meaning(rv)->rc == HF_UNSUPPORTED;
}

/* Tokens differ in how Ed25519 is written. */
static CK_RV generate_either(struct hf_p11 *t, struct order *o, bool all, CK_OBJECT_HANDLE pair[2])
{
	CK_RV rv = generate(t, o, hf_p11_ec_params(o->algorithm), all, pair);

	if (refused(rv) && o->algorithm->family == HF_FAMILY_ED25519)
		rv = generate(t, o, hf_p11_ed25519_name(), all, pair);
	return rv;
}

static enum hf_rc make_and_try(struct hf_p11 *t, struct order *o, bool all, struct hf_err *e)
{
	CK_OBJECT_HANDLE pair[2] = { CK_INVALID_HANDLE, CK_INVALID_HANDLE };
	HF_AUTO_BUF spki = HF_BUF(4096);
	enum hf_rc rc = hf_p11_key_begin(t, &o->names, &o->begun, e);
	CK_RV rv;

	if (rc)
		return rc;
	rv = generate_either(t, o, all, pair);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "make the key");
	rc = hf_p11_check_kept_in(t, pair[1], e);
	if (!rc)
		rc = hf_p11_spki(t, pair[0], &spki, e);
	if (!rc)
		rc = hf_p11_key_tell(t, &o->names, &spki, o->out, e);
	if (!rc)
		rc = hf_p11_prove(t, o->out, o->req->usage, e);
	if (rc)
		hf_p11_key_forget(t, o->out->spki_sha256.bytes);
	return rc;
}

/*
 * First with all other uses ruled out. Some tokens refuse to be told; and without a PSS of its
 * own, tpm2-pkcs11 signs with RSA by decrypting. Then with no more than what the key has to do.
 */
static enum hf_rc make(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	struct order *o = arg;
	enum hf_rc rc;

	if (!hf_p11_makes(t, o->algorithm))
		return hf_fail(e, HF_UNSUPPORTED, "this token does not make %s keys",
			       o->algorithm->name);
	if ((o->req->usage & HF_USAGE_DERIVE) && !hf_p11_has(t, CKM_ECDH1_DERIVE))
		return hf_fail(e, HF_UNSUPPORTED,
			       "this token does not agree on keys (it lacks CKM_ECDH1_DERIVE)");
	if (o->algorithm->family == HF_FAMILY_RSA && !(o->req->usage & HF_USAGE_DECRYPT) &&
	    !hf_p11_has(t, CKM_RSA_PKCS_PSS))
		return make_and_try(t, o, false, e);
	rc = make_and_try(t, o, true, e);
	if (rc && (t->rv == CKR_OK || hf_p11_meaning(t->rv)->class == HF_P11_FINAL)) {
		t->rv = CKR_OK;
		rc = make_and_try(t, o, false, e);
	}
	return rc;
}

enum hf_rc hf_p11_create(struct hf_backend *b, const hf_KeeperCreate *req, hf_KeeperCreated *out,
			 struct hf_err *e)
{
	struct order o = { .algorithm = hf_algorithm_find(req->algorithm), .req = req, .out = out };
	struct hf_p11 *t = (struct hf_p11 *)b;
	enum hf_rc rc;

	if (!o.algorithm)
		return hf_fail(e, HF_UNSUPPORTED, "unknown algorithm %s", req->algorithm);
	rc = hf_p11_check_usage(o.algorithm->family, req->usage, e);
	if (rc)
		return rc;
	if (!hf_p11_names_make(&o.names, req->name,
			       (struct hf_view){ req->object_id.bytes, req->object_id.size }))
		return hf_fail(e, HF_FAILED, "no random numbers");
	rc = hf_p11_run(t, "create", make, &o, e);
	if (rc && o.begun)
		hf_p11_key_undo(t, &o.names, e);
	return rc;
}
