/* SPDX-License-Identifier: Apache-2.0 */
#include "tss2.h"

#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

/* 2.23.133.10.1.3, a key that can be loaded; importable and sealed ones have no key in use yet. */
static const uint8_t loadable[] = { 0x06, 0x06, 0x67, 0x81, 0x05, 0x0a, 0x01, 0x03 };

/* ---- TPMKey (draft-bottomley-tpm2-keys). What is in its options is for who opens the key. */

enum { SEQUENCE = 0x30, OBJECT = 0x06, INTEGER = 0x02, OCTETS = 0x04, OPTION = 0x80 };

/* Takes the next element off @in, if it begins with @id (OPTION: any of the context's class). */
static bool take_der(struct hf_view *in, unsigned id, struct hf_view *body)
{
	const unsigned char *p = in->p;
	int tag, class;
	long n;

	if (!in->n || (id == OPTION ? p[0] & 0xc0u : p[0]) != id ||
	    ASN1_get_object(&p, &n, &tag, &class, (long)in->n) & 0x81) /* bad, or of no length */
		return false;
	*body = (struct hf_view){ p, (size_t)n };
	in->n -= (size_t)(p - in->p) + (size_t)n;
	in->p = p + n;
	return true;
}

/* The TPM2B_PUBLIC in a TPMKey. Options that the draft does not know yet are tolerated. */
static bool find_public(struct hf_view der, struct hf_view *pub)
{
	struct hf_view key, other;

	if (!take_der(&der, SEQUENCE, &key) || der.n || !take_der(&key, OBJECT, &other))
		return false;
	while (take_der(&key, OPTION, &other))
		;
	return take_der(&key, INTEGER, &other) && take_der(&key, OCTETS, pub) &&
	       take_der(&key, OCTETS, &other) && !key.n;
}

/* ---- TPM2B_PUBLIC (TPM 2.0 part 2, 12.2): numbers are big-endian, names as in its tables */

enum { ALG_RSA = 0x0001, ALG_NULL = 0x0010, ALG_ECDAA = 0x001a, ALG_ECC = 0x0023 };
enum { ALG_RSAES = 0x0015 };

static const struct {
	unsigned id;
	const char *group;
	size_t width;
} curves[] = { { 3, "P-256", 32 }, { 4, "P-384", 48 }, { 5, "P-521", 66 } };

/* Takes @n bytes off. A view that is too short becomes NULL, for good. */
static struct hf_view take(struct hf_view *in, size_t n)
{
	struct hf_view out = { in->p, n };

	if (!in->p || in->n < n) {
		*in = (struct hf_view){ NULL, 0 };
		return *in;
	}
	in->p += n;
	in->n -= n;
	return out;
}

static unsigned take16(struct hf_view *in)
{
	struct hf_view v = take(in, 2);

	return v.p ? (unsigned)(v.p[0] << 8 | v.p[1]) : 0;
}

static struct hf_view take_sized(struct hf_view *in)
{
	return take(in, take16(in));
}

static void skip_symmetric(struct hf_view *in)
{
	if (take16(in) != ALG_NULL)
		(void)take(in, 4);
}

/* Of signing or key derivation: with a hash, or as it is. */
static void skip_scheme(struct hf_view *in)
{
	unsigned scheme = take16(in);

	if (scheme != ALG_NULL && scheme != ALG_RSAES)
		(void)take(in, scheme == ALG_ECDAA ? 4 : 2);
}

static EVP_PKEY *from_data(OSSL_LIB_CTX *libctx, const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pkey = NULL;

	if (ctx && params && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *rsa_of(OSSL_LIB_CTX *libctx, struct hf_view in)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	struct hf_view exponent, modulus;
	BIGNUM *n = NULL, *e = NULL;
	EVP_PKEY *pkey = NULL;

	skip_symmetric(&in);
	skip_scheme(&in);
	(void)take16(&in); /* bits: the modulus says them too */
	exponent = take(&in, 4);
	modulus = take_sized(&in);
	if (modulus.p && !in.n) {
		n = BN_bin2bn(modulus.p, (int)modulus.n, NULL);
		e = BN_bin2bn(exponent.p, (int)exponent.n, NULL);
	}
	if (e && BN_is_zero(e)) /* stands for the default */
		(void)BN_set_word(e, 65537);
	if (bld && n && e && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
		pkey = from_data(libctx, "RSA", bld);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static EVP_PKEY *ec_of(OSSL_LIB_CTX *libctx, struct hf_view in)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	uint8_t point[1 + 2 * 66] = { 0x04 };
	struct hf_view x, y;
	EVP_PKEY *pkey = NULL;
	unsigned curve;
	size_t i, w;

	skip_symmetric(&in);
	skip_scheme(&in);
	curve = take16(&in);
	skip_scheme(&in); /* of key derivation */
	x = take_sized(&in);
	y = take_sized(&in);
	for (i = 0; i < HF_COUNT(curves) && curves[i].id != curve; i++)
		;
	if (bld && y.p && !in.n && i < HF_COUNT(curves) && x.n <= curves[i].width &&
	    y.n <= curves[i].width) {
		w = curves[i].width;
		memcpy(point + 1 + w - x.n, x.p, x.n);
		memcpy(point + 1 + 2 * w - y.n, y.p, y.n);
		if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
						    curves[i].group, 0) &&
		    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
						     1 + 2 * w))
			pkey = from_data(libctx, "EC", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static EVP_PKEY *of_public(OSSL_LIB_CTX *libctx, struct hf_view in)
{
	struct hf_view body = take_sized(&in);
	unsigned type = take16(&body);

	(void)take(&body, 2 + 4); /* hash of its name, attributes */
	(void)take_sized(&body);  /* policy */
	if (in.n || !body.p)
		return NULL;
	return type == ALG_RSA	 ? rsa_of(libctx, body)
	       : type == ALG_ECC ? ec_of(libctx, body)
				 : NULL;
}

bool hf_tss2_is(struct hf_view der)
{
	size_t head = der.n < 2 ? 0 : der.p[1] < 0x80 ? 2 : 2 + (der.p[1] & 0x7fu);

	return head && der.p[0] == 0x30 && head <= 4 && der.n <= HF_TSS2_MAX &&
	       der.n > head + sizeof(loadable) && !memcmp(der.p + head, loadable, sizeof(loadable));
}

EVP_PKEY *hf_tss2_public(OSSL_LIB_CTX *libctx, struct hf_view der)
{
	EVP_PKEY *pkey = NULL;
	struct hf_view pub;

	if (!hf_tss2_is(der))
		return NULL;
	ERR_set_mark();
	if (find_public(der, &pub))
		pkey = of_public(libctx, pub);
	ERR_pop_to_mark();
	return pkey;
}
