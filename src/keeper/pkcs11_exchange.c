/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_exchange.c: decryption with RSA keys, secrets agreed on with EC keys. */
#include <openssl/rand.h>
#include <string.h>

#include "keeper/der.h"
#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_public.h"
#include "keeper/public.h"
#include "keeper/unpad.h"

struct decryption {
	const hf_KeeperDecrypt *req;
	const struct hf_exchange *x;
	struct hf_view data;
	hf_KeeperSecret *out;
};

static const struct {
	size_t hash_len;
	CK_MECHANISM_TYPE hash;
	CK_RSA_PKCS_MGF_TYPE mgf;
} hashes[] = {
	{ 20, CKM_SHA_1, CKG_MGF1_SHA1 },
	{ 32, CKM_SHA256, CKG_MGF1_SHA256 },
	{ 48, CKM_SHA384, CKG_MGF1_SHA384 },
	{ 64, CKM_SHA512, CKG_MGF1_SHA512 },
};

static enum hf_rc wrong_padding(const struct decryption *d, struct hf_err *e)
{
	return hf_fail(e, HF_ARGUMENT, "the ciphertext is not one of %s for this key", d->x->name);
}

/* One C_Decrypt. *@a is wiped by the caller. */
static enum hf_rc decrypt_with(struct hf_p11 *t, const struct hf_p11_key *k, CK_MECHANISM *m,
			       const struct decryption *d, struct hf_p11_answer *a,
			       struct hf_err *e)
{
	size_t n = (k->pub->bits + 7) / 8;
	CK_RV rv = t->f->C_DecryptInit(t->session, m, k->handle);
	enum hf_rc rc;

	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "decrypt");
	rc = k->pin_each_time ? hf_p11_login(t, CKU_CONTEXT_SPECIFIC, e) : HF_OK;
	if (rc)
		return rc;
	hf_p11_answer_begin(a, n);
	rv = t->f->C_Decrypt(t->session, (CK_BYTE *)(uintptr_t)d->data.p, (CK_ULONG)d->data.n,
			     a->bytes, &a->n);
	rv = hf_p11_answer_end(a, n, rv);
	/* Only a token that unpads can mind the padding. */
	if (m->mechanism != CKM_RSA_X_509 &&
	    (rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_DATA_INVALID))
		return wrong_padding(d, e);
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "decrypt");
}

/* The bare operation of the token, its answer as long as the modulus; the padding is ours. */
static enum hf_rc decrypt_bare(struct hf_p11 *t, const struct hf_p11_key *k, struct decryption *d,
			       struct hf_p11_answer *a, struct hf_err *e)
{
	CK_MECHANISM m = { CKM_RSA_X_509, NULL, 0 };
	enum hf_rc rc = decrypt_with(t, k, &m, d, a, e);
	size_t n = d->data.n, got = 0;
	uint8_t random[HF_TLS_PREMASTER];
	bool good;

	if (rc)
		return rc;
	memmove(a->bytes + n - a->n, a->bytes, a->n); /* some drop leading zeros */
	memset(a->bytes, 0, n - a->n);
	if (d->x->pad == HF_PAD_TLS) {
		if (RAND_bytes(random, sizeof(random)) != 1)
			return hf_fail(e, HF_FAILED, "no random numbers");
		hf_unpad_tls(a->bytes, n, d->req->tls_client_version,
			     d->req->tls_negotiated_version, random, d->out->data.bytes);
		got = HF_TLS_PREMASTER;
		good = true;
	} else if (d->x->pad == HF_PAD_OAEP) {
		good = hf_unpad_oaep(a->bytes, n, d->x,
				     (struct hf_view){ d->req->label.bytes, d->req->label.size },
				     d->out->data.bytes, &got);
	} else {
		good = hf_unpad_pkcs1(a->bytes, n, d->out->data.bytes, &got);
	}
	d->out->data.size = (pb_size_t)got;
	return good ? HF_OK : wrong_padding(d, e);
}

/* The token's own padding: what is left if it does not do the bare operation. */
static enum hf_rc decrypt_padded(struct hf_p11 *t, const struct hf_p11_key *k, struct decryption *d,
				 struct hf_p11_answer *a, struct hf_err *e)
{
	CK_RSA_PKCS_OAEP_PARAMS oaep = { 0 };
	CK_MECHANISM m = { CKM_RSA_PKCS, NULL, 0 };
	enum hf_rc rc;
	size_t i;

	if (d->x->pad == HF_PAD_TLS)
		return hf_fail(e, HF_UNSUPPORTED,
			       "this token unpads by itself, and would tell by its time what TLS "
			       "must not tell");
	if (d->x->pad == HF_PAD_OAEP) {
		for (i = 0; i < HF_COUNT(hashes) - 1 && hashes[i].hash_len != d->x->hash_len; i++)
			;
		oaep.hashAlg = hashes[i].hash;
		oaep.mgf = hashes[i].mgf;
		oaep.source = CKZ_DATA_SPECIFIED;
		oaep.pSourceData =
			d->req->label.size ? (void *)(uintptr_t)d->req->label.bytes : NULL;
		oaep.ulSourceDataLen = d->req->label.size;
		m = (CK_MECHANISM){ CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };
	}
	rc = decrypt_with(t, k, &m, d, a, e);
	if (rc)
		return rc;
	return HF_PB_SET(d->out->data, a->bytes, a->n)
		       ? HF_OK
		       : hf_p11_fail(t, HF_P11_RV_LIED, e, "decrypt");
}

static enum hf_rc decrypt(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	struct decryption *d = arg;
	struct hf_p11_answer answer;
	struct hf_p11_key *k;
	enum hf_rc rc = hf_p11_key_get(t, &d->req->key, &k, e);

	if (rc)
		return rc;
	if (k->pub->family != HF_FAMILY_RSA || d->data.n != (k->pub->bits + 7) / 8)
		return hf_fail(e, HF_ARGUMENT,
			       "the ciphertext has %zu bytes, one for this key has %u", d->data.n,
			       (k->pub->bits + 7) / 8);
	rc = hf_p11_has(t, CKM_RSA_X_509) ? decrypt_bare(t, k, d, &answer, e)
					  : decrypt_padded(t, k, d, &answer, e);
	explicit_bzero(&answer, sizeof(answer));
	return rc;
}

enum hf_rc hf_p11_decrypt(struct hf_backend *b, const hf_KeeperDecrypt *req,
			  const struct hf_exchange *x, struct hf_view data, hf_KeeperSecret *out,
			  struct hf_err *e)
{
	struct decryption d = { req, x, data, out };

	return hf_p11_run((struct hf_p11 *)b, "decrypt", decrypt, &d, e);
}

/* ---------------------------------------------------------------- derive */

struct agreement {
	const hf_KeeperKey *key;
	struct hf_view peer;
	hf_KeeperSecret *out;
};

/* A point that is not on the curve asks for the private key, piece by piece. */
static enum hf_rc check_peer(const struct hf_p11_key *k, struct hf_view peer, struct hf_err *e)
{
	HF_AUTO_BUF spki = HF_BUF(1024);
	const struct hf_algorithm *a;

	for (a = hf_algorithms; a->name; a++)
		if (a->family == HF_FAMILY_EC && a->bits == k->pub->bits)
			break;
	if (k->pub->family != HF_FAMILY_EC || !a->name)
		return hf_fail(e, HF_ARGUMENT, "this is no EC key");
	if (peer.n != 1 + 2 * ((size_t)(a->bits + 7) / 8) ||
	    hf_p11_ec_spki(hf_p11_ec_params(a), peer, &spki, NULL))
		return hf_fail(e, HF_ARGUMENT,
			       "the other's public key is not an uncompressed point of %s",
			       a->group);
	return HF_OK;
}

static CK_RV derive_once(struct hf_p11 *t, const struct hf_p11_key *k, struct hf_view peer,
			 CK_OBJECT_HANDLE *secret)
{
	CK_ECDH1_DERIVE_PARAMS params = { .kdf = CKD_NULL,
					  .ulPublicDataLen = (CK_ULONG)peer.n,
					  .pPublicData = (void *)(uintptr_t)peer.p };
	CK_MECHANISM m = { CKM_ECDH1_DERIVE, &params, sizeof(params) };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ULONG n = (k->pub->bits + 7) / 8;
	struct hf_p11_template tpl = { .n = 0 };

	hf_p11_add(&tpl, CKA_CLASS, &class, sizeof(class));
	hf_p11_add(&tpl, CKA_KEY_TYPE, &type, sizeof(type));
	hf_p11_add(&tpl, CKA_VALUE_LEN, &n, sizeof(n));
	hf_p11_add_flag(&tpl, CKA_TOKEN, false);
	hf_p11_add_flag(&tpl, CKA_SENSITIVE, false);
	hf_p11_add_flag(&tpl, CKA_EXTRACTABLE, true);
	return t->f->C_DeriveKey(t->session, &m, k->handle, tpl.rows, tpl.n, secret);
}

/* PKCS#11 2.20 wants the point bare, some tokens in an OCTET STRING. */
static CK_RV derive_either(struct hf_p11 *t, const struct hf_p11_key *k, struct hf_view peer,
			   CK_OBJECT_HANDLE *secret)
{
	HF_AUTO_BUF der = HF_BUF(256);
	CK_RV rv = derive_once(t, k, peer, secret);

	if (rv != CKR_MECHANISM_PARAM_INVALID && rv != CKR_ARGUMENTS_BAD && rv != CKR_DATA_INVALID)
		return rv;
	hf_der_put(&der, HF_DER_OCTET_STRING, peer.p, peer.n);
	return der.bad ? CKR_HOST_MEMORY : derive_once(t, k, HF_VIEW_BUF(&der), secret);
}

static enum hf_rc derive(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
	struct hf_p11_answer answer;
	struct agreement *d = arg;
	struct hf_p11_key *k;
	enum hf_rc rc = hf_p11_key_get(t, d->key, &k, e);
	size_t n;
	CK_RV rv;

	if (!rc)
		rc = check_peer(k, d->peer, e);
	if (rc)
		return rc;
	n = (k->pub->bits + 7) / 8;
	rv = derive_either(t, k, d->peer, &secret);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "agree on a secret");
	rv = hf_p11_get(t, secret, CKA_VALUE, &answer);
	(void)t->f->C_DestroyObject(t->session, secret);
	if (rv == CKR_OK && (!answer.n || answer.n > n))
		rv = HF_P11_RV_LIED;
	if (rv == CKR_OK) { /* SEC 1 2.3.5: as wide as the field */
		memset(d->out->data.bytes, 0, n - answer.n);
		memcpy(d->out->data.bytes + n - answer.n, answer.bytes, answer.n);
		d->out->data.size = (pb_size_t)n;
	}
	explicit_bzero(&answer, sizeof(answer));
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "agree on a secret");
}

enum hf_rc hf_p11_derive(struct hf_backend *b, const hf_KeeperDerive *req, struct hf_view peer,
			 hf_KeeperSecret *out, struct hf_err *e)
{
	struct agreement d = { &req->key, peer, out };

	return hf_p11_run((struct hf_p11 *)b, "derive", derive, &d, e);
}
