/* SPDX-License-Identifier: Apache-2.0 */
#include "p11/op.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "wire/packet.h"
#include "wire/scheme.h"

void hf_p11_op_free(struct hf_p11_op *op)
{
	if (!op)
		return;
	EVP_MD_CTX_free(op->md);
	hf_buf_finish(&op->data);
	hf_buf_finish(&op->label);
	hf_buf_finish(&op->result);
	free(op);
}

/* ---- what is asked for */

/* PSS with what tokens do: the same digest everywhere, and a salt as long. */
static ck_rv_t pss_params(struct hf_p11_op *op, const struct ck_mechanism *m)
{
	struct ck_rsa_pkcs_pss_params pss;
	size_t len;

	if (!m->parameter || m->parameter_len != sizeof(pss))
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(&pss, m->parameter, sizeof(pss));
	len = hf_p11_hash_len(pss.hash_alg);
	if (!len || (op->mech->hash_len && op->mech->hash_len != len) ||
	    pss.mgf != hf_p11_mgf(len) || pss.s_len != len)
		return CKR_MECHANISM_PARAM_INVALID;
	op->scheme = hf_scheme_for(HF_FAMILY_RSA, HF_PAD_PSS, len);
	return op->scheme ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static ck_rv_t oaep_params(struct hf_p11_op *op, const struct ck_mechanism *m)
{
	struct ck_rsa_pkcs_oaep_params oaep;
	const struct hf_exchange *x;
	size_t len;

	if (!m->parameter || m->parameter_len != sizeof(oaep))
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(&oaep, m->parameter, sizeof(oaep));
	len = hf_p11_hash_len(oaep.hash_alg);
	if (!len || oaep.mgf != hf_p11_mgf(len) || oaep.source > 1 ||
	    HF_P11_BAD(oaep.source_data, oaep.source_data_len) || oaep.source_data_len > 512)
		return CKR_MECHANISM_PARAM_INVALID;
	hf_buf_add(&op->label, oaep.source_data, oaep.source_data_len);
	for (x = hf_exchanges; x->name; x++)
		if (x->pad == HF_PAD_OAEP && x->hash_len == len)
			op->exchange = x;
	return op->exchange && !op->label.bad ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* CK_EDDSA_PARAMS of PKCS#11 3.0, which older headers lack. Ed25519ph and contexts we have not. */
static bool plain_eddsa(const struct ck_mechanism *m)
{
	struct {
		unsigned char prehash;
		unsigned long n_context;
		unsigned char *context;
	} params;

	if (!m->parameter || m->parameter_len != sizeof(params))
		return false;
	memcpy(&params, m->parameter, sizeof(params));
	return !params.prehash && !params.n_context;
}

static ck_rv_t resolve(struct hf_p11_op *op, enum hf_p11_use use, const struct ck_mechanism *m)
{
	const struct hf_p11_mech *mech = op->mech;

	if (mech->pad == HF_PAD_PSS)
		return pss_params(op, m);
	if (mech->pad == HF_PAD_OAEP)
		return oaep_params(op, m);
	if (m->parameter_len && !(mech->type == CKM_EDDSA && plain_eddsa(m)))
		return CKR_MECHANISM_PARAM_INVALID;
	if (use == HF_P11_DECRYPT)
		op->exchange = hf_exchange_find("rsa-pkcs1");
	else if (mech->hash_len || mech->family == HF_FAMILY_ED25519)
		op->scheme = hf_scheme_for(mech->family, mech->pad, mech->hash_len);
	return CKR_OK;
}

static ck_rv_t start_digest(const struct hf_p11 *p, struct hf_p11_op *op)
{
	EVP_MD *md;
	bool ok;

	if (!op->mech->hash_len || op->whole)
		return CKR_OK;
	md = EVP_MD_fetch(p->ctx, hf_p11_hash_name(op->mech->hash_len), NULL);
	op->md = EVP_MD_CTX_new();
	ok = md && op->md && EVP_DigestInit_ex2(op->md, md, NULL);
	EVP_MD_free(md);
	return ok ? CKR_OK : CKR_HOST_MEMORY;
}

static ck_rv_t permitted(enum hf_p11_use use, const struct hf_p11_mech *m,
			 const struct hf_p11_object *o)
{
	static const struct {
		ck_object_class_t class;
		ck_flags_t flag;
		uint32_t usage;
	} needs[HF_P11_USES] = {
		[HF_P11_SIGN] = { CKO_PRIVATE_KEY, CKF_SIGN, HF_USAGE_SIGN | HF_USAGE_CA },
		[HF_P11_VERIFY] = { CKO_PUBLIC_KEY, CKF_VERIFY, HF_USAGE_SIGN | HF_USAGE_CA },
		[HF_P11_DECRYPT] = { CKO_PRIVATE_KEY, CKF_DECRYPT, HF_USAGE_DECRYPT },
	};

	if (!m || !(m->flags & needs[use].flag))
		return CKR_MECHANISM_INVALID;
	if (!o->key || o->class != needs[use].class || o->key->algorithm->family != m->family)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (!(o->key->usage & needs[use].usage))
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	if (use == HF_P11_SIGN && !hf_p11_mech_fits(m, m->family, o->key->usage))
		return CKR_KEY_FUNCTION_NOT_PERMITTED; /* a digest, of a ca key */
	return CKR_OK;
}

ck_rv_t hf_p11_op_new(const struct hf_p11 *p, enum hf_p11_use use, const struct ck_mechanism *m,
		      const struct hf_p11_object *o, struct hf_p11_op **out)
{
	const struct hf_p11_mech *mech = hf_p11_mech(m->mechanism);
	ck_rv_t rv = permitted(use, mech, o);
	struct hf_p11_op *op;

	if (rv)
		return rv;
	op = calloc(1, sizeof(*op));
	if (!op)
		return CKR_HOST_MEMORY;
	op->mech = mech;
	op->key = o->key;
	op->whole = mech->family == HF_FAMILY_ED25519 ||
		    (use == HF_P11_SIGN && (o->key->usage & HF_USAGE_CA));
	op->data.max = HF_DATA_MAX;
	op->label.max = 512;
	op->result.max = HF_SECRET_MAX;
	ERR_set_mark();
	rv = resolve(op, use, m);
	if (!rv)
		rv = start_digest(p, op);
	ERR_pop_to_mark();
	if (rv)
		hf_p11_op_free(op);
	else
		*out = op;
	return rv;
}

ck_rv_t hf_p11_op_add(struct hf_p11_op *op, const void *data, unsigned long n)
{
	if (!n)
		return CKR_OK;
	if (op->md)
		return EVP_DigestUpdate(op->md, data, n) ? CKR_OK : CKR_FUNCTION_FAILED;
	hf_buf_add(&op->data, data, n);
	return op->data.bad ? CKR_DATA_LEN_RANGE : CKR_OK;
}

size_t hf_p11_op_size(const struct hf_p11_op *op)
{
	unsigned bits = op->key->algorithm->bits;

	if (op->mech->family == HF_FAMILY_ED25519)
		return 64;
	return op->mech->family == HF_FAMILY_RSA ? bits / 8 : 2 * ((bits + 7) / 8);
}

/* ---- signatures */

/* What is sent, or verified: the digest in its place, and the scheme that fits it. */
static ck_rv_t settle(struct hf_p11_op *op, uint8_t md[EVP_MAX_MD_SIZE], struct hf_view *data)
{
	unsigned len = 0;

	*data = (struct hf_view){ op->data.p, op->data.n };
	if (op->md) {
		if (!EVP_DigestFinal_ex(op->md, md, &len))
			return CKR_FUNCTION_FAILED;
		*data = (struct hf_view){ md, len };
		return CKR_OK;
	}
	if (op->whole)
		return CKR_OK;
	if (op->mech->type == CKM_RSA_PKCS) {
		op->scheme = hf_scheme_of_digest_info(HF_VIEW_BUF(&op->data), data);
		if (!op->scheme)
			return CKR_DATA_INVALID;
	}
	if (!op->scheme)
		op->scheme = hf_scheme_for(op->mech->family, op->mech->pad, data->n);
	return op->scheme && op->scheme->hash_len == data->n ? CKR_OK : CKR_DATA_LEN_RANGE;
}

/* ECDSA-Sig-Value in DER to r and s, each as wide as the field; and back. */
static bool der_to_raw(const uint8_t *der, size_t n_der, uint8_t *raw, size_t n_raw)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n_der);
	int half = (int)(n_raw / 2);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half) == half &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half) == half;

	ECDSA_SIG_free(sig);
	return ok;
}

static int raw_to_der(const uint8_t *raw, size_t n_raw, unsigned char **der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	int half = (int)(n_raw / 2), n = -1;
	BIGNUM *r = BN_bin2bn(raw, half, NULL), *s = BN_bin2bn(raw + half, half, NULL);

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
		r = s = NULL;
		n = i2d_ECDSA_SIG(sig, der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return n;
}

ck_rv_t hf_p11_op_sign(const struct hf_p11 *p, struct hf_p11_op *op, uint8_t *out, size_t *n)
{
	struct hf_broker_job job = { .key = { op->key->name, op->key->id }, .message = op->whole };
	struct hf_err e = HF_ERR_INIT;
	uint8_t md[EVP_MAX_MD_SIZE], sig[1024];
	size_t want = hf_p11_op_size(op);
	ck_rv_t rv;

	rv = settle(op, md, &job.data);
	if (rv)
		return rv;
	job.scheme = op->scheme->name;
	if (hf_broker_sign(p->link, &job, sig, sizeof(sig), n, &e))
		return hf_p11_result(&e);
	ERR_set_mark();
	if (op->mech->family == HF_FAMILY_EC && !der_to_raw(sig, *n, out, want))
		rv = CKR_DEVICE_ERROR;
	else if (op->mech->family != HF_FAMILY_EC && *n != want)
		rv = CKR_DEVICE_ERROR;
	else if (op->mech->family != HF_FAMILY_EC)
		memcpy(out, sig, want);
	ERR_pop_to_mark();
	*n = want;
	return rv;
}

static bool verifies(const struct hf_p11 *p, const struct hf_p11_op *op, struct hf_view data,
		     const uint8_t *sig, size_t n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(p->ctx, op->key->pub, NULL);
	EVP_MD *md = op->scheme->hash ? EVP_MD_fetch(p->ctx, op->scheme->hash, NULL) : NULL;
	EVP_MD_CTX *whole = EVP_MD_CTX_new();
	bool ok = false;

	if (op->mech->family == HF_FAMILY_ED25519)
		ok = whole &&
		     EVP_DigestVerifyInit_ex(whole, NULL, NULL, p->ctx, NULL, op->key->pub, NULL) >
			     0 &&
		     EVP_DigestVerify(whole, sig, n, data.p, data.n) == 1;
	else if (ctx && md && EVP_PKEY_verify_init(ctx) > 0 &&
		 (op->mech->pad != HF_PAD_PSS ||
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0) &&
		 EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 &&
		 (op->mech->pad != HF_PAD_PSS ||
		  EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0))
		ok = EVP_PKEY_verify(ctx, sig, n, data.p, data.n) == 1;
	EVP_MD_CTX_free(whole);
	EVP_MD_free(md);
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

ck_rv_t hf_p11_op_verify(const struct hf_p11 *p, struct hf_p11_op *op, const uint8_t *sig, size_t n)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned char *der = NULL;
	struct hf_view data;
	int n_der = 0;
	ck_rv_t rv;

	if (n != hf_p11_op_size(op))
		return CKR_SIGNATURE_LEN_RANGE;
	rv = settle(op, md, &data);
	if (rv)
		return rv;
	ERR_set_mark();
	if (op->mech->family == HF_FAMILY_EC)
		n_der = raw_to_der(sig, n, &der);
	if (n_der < 0 || !verifies(p, op, data, der ? der : sig, der ? (size_t)n_der : n))
		rv = CKR_SIGNATURE_INVALID;
	OPENSSL_free(der);
	ERR_pop_to_mark();
	return rv;
}

/* ---- decryption */

ck_rv_t hf_p11_op_decrypt(const struct hf_p11 *p, struct hf_p11_op *op)
{
	struct hf_broker_secret what = {
		.key = { op->key->name, op->key->id },
		.scheme = op->exchange->name,
		.data = op->data.p,
		.n = op->data.n,
		.label = op->label.p,
		.n_label = op->label.n,
	};
	struct hf_err e = HF_ERR_INIT;
	uint8_t plain[HF_SECRET_MAX];
	size_t n = 0;

	if (op->data.n != op->key->algorithm->bits / 8)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	if (hf_broker_decrypt(p->link, &what, plain, &n, &e))
		return e.rc == HF_ARGUMENT ? CKR_ENCRYPTED_DATA_INVALID : hf_p11_result(&e);
	hf_buf_add(&op->result, plain, n);
	explicit_bzero(plain, sizeof(plain));
	return op->result.bad ? CKR_HOST_MEMORY : CKR_OK;
}

/* ---- sessions */

ck_rv_t hf_p11_op_take(ck_session_handle_t session, enum hf_p11_use use, struct hf_p11 **p,
		       struct hf_p11_op **op)
{
	struct hf_p11_session *s;

	*p = hf_p11_enter();
	if (!*p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(*p, session);
	if (!s)
		return hf_p11_leave(*p, CKR_SESSION_HANDLE_INVALID);
	*op = s->ops[use];
	s->ops[use] = NULL;
	return hf_p11_leave(*p, *op ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
}

void hf_p11_op_keep(ck_session_handle_t session, enum hf_p11_use use, struct hf_p11_op *op)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_session *s = p ? hf_p11_session(p, session) : NULL;

	if (s && !s->ops[use])
		s->ops[use] = op;
	else
		hf_p11_op_free(op);
	if (p)
		(void)hf_p11_leave(p, CKR_OK);
}
