/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_public.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "keeper/public.h"
#include "wire/packet.h"

#define FIXED                                                                                      \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |        \
	 TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)
#define PRIMARY (FIXED | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define AK	(FIXED | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT)

static const struct curve {
	unsigned bits;
	uint16_t id;
	const char *group;
} curves[] = {
	{ 256, TPM2_ECC_NIST_P256, "P-256" },
	{ 384, TPM2_ECC_NIST_P384, "P-384" },
	{ 521, TPM2_ECC_NIST_P521, "P-521" },
};

static const struct curve *curve_of(unsigned bits, uint16_t id)
{
	size_t i;

	for (i = 0; i < HF_COUNT(curves); i++)
		if (curves[i].bits == bits || curves[i].id == id)
			return &curves[i];
	return NULL;
}

bool hf_tpm2_possible(const struct hf_algorithm *a)
{
	return a->family == HF_FAMILY_RSA ||
	       (a->family == HF_FAMILY_EC && curve_of(a->bits, TPM2_ECC_NONE));
}

static void read_parms(struct hf_rd *r, struct hf_tpm2_public *out)
{
	out->symmetric = hf_rd16(r);
	if (out->symmetric != TPM2_ALG_NULL) {
		out->symmetric_bits = hf_rd16(r);
		out->symmetric_mode = hf_rd16(r);
	}
	out->scheme = hf_rd16(r);
	if (out->scheme != TPM2_ALG_NULL) {
		/* RSAES has no details, the others we may meet have a hash, ECDAA a count too. */
		if (out->scheme != TPM2_ALG_RSAES)
			(void)hf_rd16(r);
		if (out->scheme == TPM2_ALG_ECDAA)
			(void)hf_rd16(r);
	}
}

enum hf_rc hf_tpm2_public_read(struct hf_view in, struct hf_tpm2_public *out, struct hf_err *e)
{
	struct hf_rd r = { in.p, in.n, false };

	memset(out, 0, sizeof(*out));
	out->type = hf_rd16(&r);
	out->name_alg = hf_rd16(&r);
	out->attributes = hf_rd32(&r);
	out->restricted_to_policy = hf_rd_2b(&r).n != 0;
	if (out->type != TPM2_ALG_RSA && out->type != TPM2_ALG_ECC)
		return hf_fail(e, HF_CORRUPT, "a public area of unknown type 0x%04x", out->type);
	read_parms(&r, out);
	if (out->type == TPM2_ALG_RSA) {
		out->rsa_bits = hf_rd16(&r);
		out->exponent = hf_rd32(&r);
		out->x = hf_rd_2b(&r);
	} else {
		out->curve = hf_rd16(&r);
		out->kdf = hf_rd16(&r);
		if (out->kdf != TPM2_ALG_NULL)
			(void)hf_rd16(&r);
		out->x = hf_rd_2b(&r);
		out->y = hf_rd_2b(&r);
	}
	if (!hf_rd_end(&r) || out->x.n > HF_TPM2_RSA_MAX)
		return hf_fail(e, HF_CORRUPT, "a malformed public area");
	if (out->name_alg != TPM2_ALG_SHA256)
		return hf_fail(e, HF_UNSUPPORTED,
			       "a public area whose Name is made with hash 0x%04x; holdfast knows "
			       "those with SHA-256",
			       out->name_alg);
	hf_be16(out->name, TPM2_ALG_SHA256);
	return hf_hash("SHA2-256", in, out->name + 2, e);
}

static EVP_PKEY *from_data(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

static EVP_PKEY *rsa_key(const struct hf_tpm2_public *p, OSSL_PARAM_BLD *bld)
{
	BIGNUM *n = BN_bin2bn(p->x.p, (int)p->x.n, NULL);
	EVP_PKEY *pkey = NULL;

	if (n && BN_num_bits(n) == p->rsa_bits &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_ulong(bld, OSSL_PKEY_PARAM_RSA_E,
				      p->exponent ? p->exponent : 65537))
		pkey = from_data("RSA", bld);
	BN_free(n);
	return pkey;
}

static EVP_PKEY *ec_key(const struct hf_tpm2_public *p, OSSL_PARAM_BLD *bld)
{
	const struct curve *c = curve_of(0, p->curve);
	uint8_t point[1 + 2 * 66] = { 4 };
	size_t field = c ? (c->bits + 7) / 8 : 0;

	/* Coordinates may come without their leading zeros. */
	if (!c || !p->x.n || !p->y.n || p->x.n > field || p->y.n > field)
		return NULL;
	memcpy(point + 1 + field - p->x.n, p->x.p, p->x.n);
	memcpy(point + 1 + 2 * field - p->y.n, p->y.p, p->y.n);
	if (!OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * field))
		return NULL;
	return from_data("EC", bld);
}

enum hf_rc hf_tpm2_public_spki(const struct hf_tpm2_public *p, struct hf_buf *out, struct hf_err *e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	unsigned char *der = NULL;
	EVP_PKEY *pkey = NULL;
	enum hf_rc rc;
	int n;

	if (bld)
		pkey = p->type == TPM2_ALG_RSA ? rsa_key(p, bld) : ec_key(p, bld);
	OSSL_PARAM_BLD_free(bld);
	if (!pkey)
		return hf_fail(e, HF_CORRUPT, "the TPM's public key is not a sound key");
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

static void put_rsa(struct hf_tpm2_cmd *c, unsigned bits)
{
	hf_tpm2_put16(c, TPM2_ALG_NULL); /* symmetric: not a storage key */
	hf_tpm2_put16(c, TPM2_ALG_NULL); /* scheme: whatever each signature asks for */
	hf_tpm2_put16(c, (uint16_t)bits);
	hf_tpm2_put32(c, 0); /* 65537; some chips take only this way to say it */
}

static void put_ecc(struct hf_tpm2_cmd *c, unsigned bits)
{
	const struct curve *curve = curve_of(bits, TPM2_ECC_NONE);

	hf_tpm2_put16(c, TPM2_ALG_NULL);
	hf_tpm2_put16(c, TPM2_ALG_NULL);
	hf_tpm2_put16(c, curve ? curve->id : TPM2_ECC_NONE);
	hf_tpm2_put16(c, TPM2_ALG_NULL); /* kdf */
}

static void put_head(struct hf_tpm2_cmd *c, uint16_t type, uint32_t attributes)
{
	hf_tpm2_put16(c, type);
	hf_tpm2_put16(c, TPM2_ALG_SHA256);
	hf_tpm2_put32(c, attributes);
	hf_tpm2_put16(c, 0); /* no authPolicy */
}

/* What the draft calls "H-2": every tool that reads key files makes this one. */
void hf_tpm2_template_primary(struct hf_tpm2_cmd *c)
{
	put_head(c, TPM2_ALG_ECC, PRIMARY);
	hf_tpm2_put16(c, TPM2_ALG_AES);
	hf_tpm2_put16(c, 128);
	hf_tpm2_put16(c, TPM2_ALG_CFB);
	hf_tpm2_put16(c, TPM2_ALG_NULL);
	hf_tpm2_put16(c, TPM2_ECC_NIST_P256);
	hf_tpm2_put16(c, TPM2_ALG_NULL);
	hf_tpm2_put32(c, 0); /* unique: empty x and y */
}

void hf_tpm2_template_ak(struct hf_tpm2_cmd *c)
{
	put_head(c, TPM2_ALG_ECC, AK);
	hf_tpm2_put16(c, TPM2_ALG_NULL);  /* symmetric */
	hf_tpm2_put16(c, TPM2_ALG_ECDSA); /* a restricted key has one scheme */
	hf_tpm2_put16(c, TPM2_ALG_SHA256);
	hf_tpm2_put16(c, TPM2_ECC_NIST_P256);
	hf_tpm2_put16(c, TPM2_ALG_NULL); /* kdf */
	hf_tpm2_put32(c, 0);		 /* unique: empty x and y */
}

/*
 * L-1 and L-2 of the TCG EK Credential Profile, annex B: another template is another key, of which
 * the certificate knows nothing. The policy is PolicySecret(TPM_RH_ENDORSEMENT).
 */
void hf_tpm2_template_ek(struct hf_tpm2_cmd *c, bool rsa)
{
	static const uint8_t policy[32] = { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8,
					    0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
					    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64,
					    0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa };
	static const uint8_t unique[256];

	hf_tpm2_put16(c, rsa ? TPM2_ALG_RSA : TPM2_ALG_ECC);
	hf_tpm2_put16(c, TPM2_ALG_SHA256);
	hf_tpm2_put32(c, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				 TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
				 TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
	hf_tpm2_put2b(c, policy, sizeof(policy));
	hf_tpm2_put16(c, TPM2_ALG_AES);
	hf_tpm2_put16(c, 128);
	hf_tpm2_put16(c, TPM2_ALG_CFB);
	hf_tpm2_put16(c, TPM2_ALG_NULL);
	if (rsa) {
		hf_tpm2_put16(c, 2048);
		hf_tpm2_put32(c, 0);
		hf_tpm2_put2b(c, unique, 256);
		return;
	}
	hf_tpm2_put16(c, TPM2_ECC_NIST_P256);
	hf_tpm2_put16(c, TPM2_ALG_NULL);
	hf_tpm2_put2b(c, unique, 32);
	hf_tpm2_put2b(c, unique, 32);
}

bool hf_tpm2_is_made_from(struct hf_view pub, const struct hf_tpm2_cmd *template)
{
	struct hf_tpm2_public ours, theirs;
	size_t head;

	if (hf_tpm2_public_read((struct hf_view){ template->p, template->n }, &ours, NULL) ||
	    hf_tpm2_public_read(pub, &theirs, NULL) || !theirs.x.n)
		return false;
	head = (size_t)(ours.x.p - 2 - template->p);
	return pub.n > head && !memcmp(pub.p, template->p, head);
}

bool hf_tpm2_is_primary(const struct hf_tpm2_public *p)
{
	return p->type == TPM2_ALG_ECC && p->attributes == PRIMARY && !p->restricted_to_policy &&
	       p->symmetric == TPM2_ALG_AES && p->symmetric_bits == 128 &&
	       p->symmetric_mode == TPM2_ALG_CFB && p->scheme == TPM2_ALG_NULL &&
	       p->curve == TPM2_ECC_NIST_P256 && p->kdf == TPM2_ALG_NULL && p->x.n && p->y.n &&
	       p->x.n <= 32 && p->y.n <= 32;
}

void hf_tpm2_template_parms(struct hf_tpm2_cmd *c, const struct hf_algorithm *a)
{
	hf_tpm2_put16(c, a->family == HF_FAMILY_RSA ? TPM2_ALG_RSA : TPM2_ALG_ECC);
	if (a->family == HF_FAMILY_RSA)
		put_rsa(c, a->bits);
	else
		put_ecc(c, a->bits);
}

void hf_tpm2_template_key(struct hf_tpm2_cmd *c, const struct hf_algorithm *a, uint32_t attributes)
{
	if (a->family == HF_FAMILY_RSA) {
		put_head(c, TPM2_ALG_RSA, FIXED | attributes);
		put_rsa(c, a->bits);
		hf_tpm2_put16(c, 0);
	} else {
		put_head(c, TPM2_ALG_ECC, FIXED | attributes);
		put_ecc(c, a->bits);
		hf_tpm2_put32(c, 0);
	}
}

bool hf_tpm2_is_kind(const struct hf_tpm2_public *p, const struct hf_algorithm *a)
{
	const struct curve *c = curve_of(a->bits, TPM2_ECC_NONE);

	if (p->restricted_to_policy || p->symmetric != TPM2_ALG_NULL || p->scheme != TPM2_ALG_NULL)
		return false;
	if (a->family == HF_FAMILY_RSA)
		return p->type == TPM2_ALG_RSA && p->rsa_bits == a->bits &&
		       (p->exponent == 0 || p->exponent == 65537);
	return p->type == TPM2_ALG_ECC && c && p->curve == c->id;
}

bool hf_tpm2_is_key(const struct hf_tpm2_public *p, const struct hf_algorithm *a,
		    uint32_t attributes)
{
	return p->attributes == (FIXED | attributes) && hf_tpm2_is_kind(p, a);
}

enum hf_rc hf_tpm2_usage_fits(const struct hf_algorithm *a, uint32_t usage, struct hf_err *e)
{
	const uint32_t known = HF_USAGE_SIGN | HF_USAGE_CA | HF_USAGE_DECRYPT | HF_USAGE_DERIVE;

	if (!usage || (usage & ~known))
		return hf_fail(e, HF_ARGUMENT, "unknown usage 0x%x", usage);
	if ((usage & HF_USAGE_CA) && usage != HF_USAGE_CA)
		return hf_fail(e, HF_ARGUMENT, "a ca key cannot have another usage beside");
	if ((usage & HF_USAGE_DECRYPT) && a->family != HF_FAMILY_RSA)
		return hf_fail(e, HF_ARGUMENT,
			       "usage decrypt is for RSA keys; for EC it is derive");
	if ((usage & HF_USAGE_DERIVE) && a->family != HF_FAMILY_EC)
		return hf_fail(e, HF_ARGUMENT, "usage derive is for EC keys");
	return HF_OK;
}
