/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/pkcs11_public.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "keeper/der.h"
#include "keeper/public.h"

static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t p384[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
static const uint8_t p521[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 };
static const uint8_t ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
static const uint8_t ed25519_name[] = "\x13\x0c"
				      "edwards25519";

static const struct {
	struct hf_view params;
	const char *group; /* of hf_algorithms */
	size_t point;	   /* bytes, uncompressed */
} curves[] = {
	{ { p256, sizeof(p256) }, "P-256", 65 },
	{ { p384, sizeof(p384) }, "P-384", 97 },
	{ { p521, sizeof(p521) }, "P-521", 133 },
	{ { ed25519, sizeof(ed25519) }, "ED25519", 32 },
	{ { ed25519_name, sizeof(ed25519_name) - 1 }, "ED25519", 32 },
};

struct hf_view hf_p11_ec_params(const struct hf_algorithm *a)
{
	size_t i;

	for (i = 0; a->group && i < HF_COUNT(curves); i++)
		if (!strcmp(a->group, curves[i].group))
			return curves[i].params;
	return (struct hf_view){ NULL, 0 };
}

struct hf_view hf_p11_ed25519_name(void)
{
	return curves[HF_COUNT(curves) - 1].params;
}

static enum hf_rc put(EVP_PKEY *pkey, struct hf_buf *out, struct hf_err *e)
{
	unsigned char *der = NULL;
	enum hf_rc rc;
	int n;

	if (!pkey)
		return hf_fail(e, HF_CORRUPT, "the token's public key is not a sound key");
	rc = hf_public_strong(pkey, e);
	n = rc ? 0 : i2d_PUBKEY(pkey, &der);
	EVP_PKEY_free(pkey);
	if (rc)
		return rc;
	if (n > 0)
		hf_buf_add(out, der, (size_t)n);
	OPENSSL_free(der);
	return n > 0 && !out->bad ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
}

static EVP_PKEY *build(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pkey = NULL;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

enum hf_rc hf_p11_rsa_spki(struct hf_view modulus, struct hf_view exponent, struct hf_buf *out,
			   struct hf_err *e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *x = NULL;
	EVP_PKEY *pkey = NULL;

	if (modulus.n <= 1025 && exponent.n <= 8) {
		n = BN_bin2bn(modulus.p, (int)modulus.n, NULL);
		x = BN_bin2bn(exponent.p, (int)exponent.n, NULL);
	}
	if (bld && n && x && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, x))
		pkey = build("RSA", bld);
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(x);
	return put(pkey, out, e);
}

static EVP_PKEY *ec_key(const char *group, struct hf_view point)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *pkey = NULL;

	if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n))
		pkey = build("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

enum hf_rc hf_p11_ec_spki(struct hf_view params, struct hf_view point, struct hf_buf *out,
			  struct hf_err *e)
{
	struct hf_view rest = point, inner;
	size_t i;

	for (i = 0; i < HF_COUNT(curves); i++)
		if (params.n == curves[i].params.n &&
		    !memcmp(params.p, curves[i].params.p, params.n))
			break;
	if (i == HF_COUNT(curves))
		return hf_fail(e, HF_REFUSED,
			       "the key's curve is none of P-256, P-384, P-521 and Ed25519");
	/* By length: a bare point starts with 4, which is also the tag of an OCTET STRING. */
	if (point.n != curves[i].point && hf_der_take(&rest, HF_DER_OCTET_STRING, &inner) &&
	    !rest.n)
		point = inner;
	if (point.n != curves[i].point)
		return hf_fail(e, HF_CORRUPT, "the token's public key is not a sound key");
	if (strcmp(curves[i].group, "ED25519"))
		return put(point.p[0] == 4 ? ec_key(curves[i].group, point) : NULL, out, e);
	return put(EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, point.p, 32), out, e);
}
