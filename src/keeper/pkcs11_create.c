/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_create.c: key pairs that the token makes itself and does not let out. */
#include <openssl/rand.h>
#include <string.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_public.h"

#define ID_SIZE 16

struct order {
	const struct hf_algorithm *algorithm;
	const hf_KeeperCreate *req;
	hf_KeeperCreated *out;
	CK_BYTE id[ID_SIZE];
	char label[64];
};

/* A template while it is written. */
struct template
{
	CK_ATTRIBUTE rows[16];
	CK_ULONG n;
};

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void add(struct template *t, CK_ATTRIBUTE_TYPE type, const void *p, size_t n)
{
	t->rows[t->n++] = (CK_ATTRIBUTE){ type, (void *)(uintptr_t)p, (CK_ULONG)n };
}

static void add_flag(struct template *t, CK_ATTRIBUTE_TYPE type, bool value)
{
	add(t, type, value ? &yes : &no, sizeof(yes));
}

static void add_names(struct template *t, const struct order *o)
{
	add_flag(t, CKA_TOKEN, true);
	add(t, CKA_ID, o->id, sizeof(o->id));
	add(t, CKA_LABEL, o->label, strlen(o->label));
}

static const struct {
	CK_ATTRIBUTE_TYPE type;
	uint32_t usage;
} uses[] = {
	{ CKA_SIGN, HF_USAGE_SIGN | HF_USAGE_CA },
	{ CKA_DECRYPT, HF_USAGE_DECRYPT },
	{ CKA_DERIVE, HF_USAGE_DERIVE },
	{ CKA_UNWRAP, 0 },
	{ CKA_SIGN_RECOVER, 0 },
};

static void private_template(struct template *t, const struct order *o, bool all)
{
	size_t i;

	add_names(t, o);
	add_flag(t, CKA_PRIVATE, true);
	add_flag(t, CKA_SENSITIVE, true);
	add_flag(t, CKA_EXTRACTABLE, false);
	for (i = 0; i < HF_COUNT(uses); i++) {
		bool wanted = uses[i].usage & o->req->usage;

		/* What is not said is true for some tokens; others refuse what they do not know. */
		if (wanted || all)
			add_flag(t, uses[i].type, wanted);
	}
}

static CK_RV generate(struct hf_p11 *t, struct order *o, struct hf_view params, bool all,
		      CK_OBJECT_HANDLE pair[2])
{
	static const CK_BYTE f4[] = { 1, 0, 1 };
	CK_MECHANISM m = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	struct template pub = { .n = 0 }, priv = { .n = 0 };
	CK_ULONG bits = o->algorithm->bits;

	add_names(&pub, o);
	add_flag(&pub, CKA_PRIVATE, false);
	if (o->req->usage & (HF_USAGE_SIGN | HF_USAGE_CA))
		add_flag(&pub, CKA_VERIFY, true);
	if (o->req->usage & HF_USAGE_DECRYPT)
		add_flag(&pub, CKA_ENCRYPT, true);
	if (o->algorithm->family == HF_FAMILY_RSA) {
		m.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN;
		add(&pub, CKA_MODULUS_BITS, &bits, sizeof(bits));
		add(&pub, CKA_PUBLIC_EXPONENT, f4, sizeof(f4));
	} else {
		if (o->algorithm->family == HF_FAMILY_ED25519)
			m.mechanism = CKM_EC_EDWARDS_KEY_PAIR_GEN;
		add(&pub, CKA_EC_PARAMS, params.p, params.n);
	}
	private_template(&priv, o, all);
	return t->f->C_GenerateKeyPair(t->session, &m, pub.rows, pub.n, priv.rows, priv.n, &pair[0],
				       &pair[1]);
}

static bool refused(CK_RV rv)
{
	return rv != CKR_OK && hf_p11_meaning(rv)->rc == HF_UNSUPPORTED;
}

/* Tokens differ in what they want to be told, and in how Ed25519 is written. */
static CK_RV generate_somehow(struct hf_p11 *t, struct order *o, CK_OBJECT_HANDLE pair[2])
{
	struct hf_view params = hf_p11_ec_params(o->algorithm);
	CK_RV rv = generate(t, o, params, true, pair);

	if (refused(rv) && o->algorithm->family == HF_FAMILY_ED25519) {
		rv = generate(t, o, hf_p11_ed25519_name(), true, pair);
		if (refused(rv))
			rv = generate(t, o, hf_p11_ed25519_name(), false, pair);
	}
	return refused(rv) ? generate(t, o, params, false, pair) : rv;
}

/* What was asked for and what came are two things with some tokens. */
static enum hf_rc check_kept_in(struct hf_p11 *t, CK_OBJECT_HANDLE key, struct hf_err *e)
{
	struct hf_p11_answer a;
	bool leaves;

	leaves = hf_p11_get(t, key, CKA_EXTRACTABLE, &a) != CKR_OK || a.n != 1 || a.bytes[0];
	if (!leaves && hf_p11_is_true(t, key, CKA_SENSITIVE))
		return HF_OK;
	return hf_fail(e, HF_FAILED,
		       "the token made a key that can be read out of it; the key was destroyed");
}

static enum hf_rc make(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	CK_OBJECT_HANDLE pair[2] = { CK_INVALID_HANDLE, CK_INVALID_HANDLE };
	struct order *o = arg;
	CK_ATTRIBUTE id = { CKA_ID, o->id, sizeof(o->id) };
	CK_ATTRIBUTE label = { CKA_LABEL, o->label, (CK_ULONG)strlen(o->label) };
	HF_AUTO_BUF spki = HF_BUF(4096);
	enum hf_rc rc;
	CK_RV rv;

	if (!hf_p11_makes(t, o->algorithm))
		return hf_fail(e, HF_UNSUPPORTED, "this token does not make %s keys",
			       o->algorithm->name);
	rv = generate_somehow(t, o, pair);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "make the key");
	rc = check_kept_in(t, pair[1], e);
	if (!rc)
		rc = hf_p11_spki(t, pair[0], &spki, e);
	if (!rc)
		rc = hf_p11_key_tell(t, &id, &label, false, &spki, o->out, e);
	if (rc) {
		(void)t->f->C_DestroyObject(t->session, pair[0]);
		(void)t->f->C_DestroyObject(t->session, pair[1]);
	}
	return rc;
}

static enum hf_rc check_usage(const struct order *o, struct hf_err *e)
{
	const uint32_t known = HF_USAGE_SIGN | HF_USAGE_CA | HF_USAGE_DECRYPT | HF_USAGE_DERIVE;
	uint32_t usage = o->req->usage;

	if (!usage || (usage & ~known))
		return hf_fail(e, HF_ARGUMENT, "unknown usage 0x%x", (unsigned)usage);
	if ((usage & HF_USAGE_CA) && usage != HF_USAGE_CA)
		return hf_fail(e, HF_ARGUMENT, "a ca key cannot have another usage beside");
	if ((usage & HF_USAGE_DECRYPT) && o->algorithm->family != HF_FAMILY_RSA)
		return hf_fail(e, HF_ARGUMENT,
			       "usage decrypt is for RSA keys; for EC it is derive");
	if ((usage & HF_USAGE_DERIVE) && o->algorithm->family != HF_FAMILY_EC)
		return hf_fail(e, HF_ARGUMENT, "usage derive is for EC keys");
	return HF_OK;
}

enum hf_rc hf_p11_create(struct hf_backend *b, const hf_KeeperCreate *req, hf_KeeperCreated *out,
			 struct hf_err *e)
{
	struct order o = { .algorithm = hf_algorithm_find(req->algorithm), .req = req, .out = out };
	enum hf_rc rc;

	if (!o.algorithm)
		return hf_fail(e, HF_UNSUPPORTED, "unknown algorithm %s", req->algorithm);
	rc = check_usage(&o, e);
	if (rc)
		return rc;
	/* Not what hangs on the public key: that is known only after. */
	if (RAND_bytes(o.id, sizeof(o.id)) != 1)
		return hf_fail(e, HF_FAILED, "no random numbers");
	(void)hf_copy(o.label, sizeof(o.label), req->name[0] ? req->name : "holdfast");
	return hf_p11_run((struct hf_p11 *)b, "create", make, &o, e);
}
