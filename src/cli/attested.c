/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attested.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "base/rd.h"
#include "cli/certview.h"
#include "cli/output.h"
#include "conf/strict.h"
#include "wire/mech.h"

/* TPM 2.0 Library, part 2: algorithms, structure tags and TPMA_OBJECT */
enum {
	ALG_RSA = 0x1,
	ALG_SHA256 = 0xb,
	ALG_NULL = 0x10,
	ALG_ECDSA = 0x18,
	ALG_ECC = 0x23,
	ATTEST_CREATION = 0x801a,
	/* made by the TPM, and kept by it: fixedTPM, fixedParent, sensitiveDataOrigin */
	OWN = 1 << 1 | 1 << 4 | 1 << 5,
	RESTRICTED = 1 << 16,
	DECRYPT = 1 << 17,
	SIGN = 1 << 18
};
#define GENERATED   0xff544347u
#define ENDORSEMENT 0x4000000bu
#define PART_MAX    4096u
#define NONCE_MAX   32u

struct public
{
	unsigned type, scheme, hash, curve, bits;
	uint32_t attributes, exponent;
	struct hf_view x, y; /* the modulus is x */
	uint8_t name[HF_TPM_NAME];
	EVP_PKEY *key;
};

const char *const hf_attested_names[HF_ATTESTED_PARTS] = {
	[HF_ATTESTED_SPKI] = "spki",	       [HF_ATTESTED_STATEMENT] = "statement",
	[HF_ATTESTED_SIGNATURE] = "signature", [HF_ATTESTED_CREATION_DATA] = "creation_data",
	[HF_ATTESTED_KEY] = "key_public",      [HF_ATTESTED_AK] = "ak_public",
	[HF_ATTESTED_EK] = "ek_public",
};

void hf_attested_init(struct hf_attested *a)
{
	size_t i;

	memset(a, 0, sizeof(*a));
	a->nonce.max = NONCE_MAX;
	for (i = 0; i < HF_ATTESTED_PARTS; i++)
		a->part[i].max = PART_MAX;
}

void hf_attested_finish(struct hf_attested *a)
{
	size_t i;

	for (i = 0; i < HF_ATTESTED_PARTS; i++)
		hf_buf_finish(&a->part[i]);
	hf_buf_finish(&a->nonce);
	X509_free(a->ek_certificate);
	a->ek_certificate = NULL;
}

/* ---- the file */

static bool base64_of(json_object *o, const char *name, struct hf_buf *out)
{
	const char *text = hf_out_get(o, name);
	size_t n = strlen(text), pad = 0;
	uint8_t bytes[PART_MAX];
	int got;

	if (!n || n % 4 || n / 4 * 3 > sizeof(bytes))
		return false;
	while (pad < 2 && text[n - 1 - pad] == '=')
		pad++;
	if (strcspn(text, "=") != n - pad) /* which libcrypto would take for zeros */
		return false;
	got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)n);
	if (got > (int)pad)
		hf_buf_add(out, bytes, (size_t)got - pad);
	return out->n && !out->bad;
}

static bool read_members(struct hf_attested *a, json_object *o)
{
	const char *pem = hf_out_get(o, "ek_certificate"), *nonce = hf_out_get(o, "nonce");
	char none[] = ""; /* the password: nobody is asked at a terminal for one */
	uint8_t bytes[NONCE_MAX];
	size_t i;
	BIO *bio;

	if (strlen(nonce) > 2 * sizeof(bytes) || !hf_unhex(bytes, strlen(nonce) / 2, nonce))
		return false;
	hf_buf_add(&a->nonce, bytes, strlen(nonce) / 2);
	if (*pem) {
		bio = BIO_new_mem_buf(pem, -1);
		a->ek_certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, none) : NULL;
		BIO_free(bio);
	}
	for (i = 0; i < HF_ATTESTED_PARTS; i++)
		if (!base64_of(o, hf_attested_names[i], &a->part[i]))
			return false;
	return !*pem == !a->ek_certificate && hf_key_name_ok(hf_out_get(o, "name")) &&
	       hf_copy(a->name, sizeof(a->name), hf_out_get(o, "name"));
}

enum hf_rc hf_attested_read(struct hf_attested *a, struct hf_view text, struct hf_err *e)
{
	json_tokener *tokener = json_tokener_new_ex(4);
	json_object *o = NULL;
	bool good;

	if (tokener && text.n && text.n <= HF_ATTESTED_MAX) {
		json_tokener_set_flags(tokener, hf_json_strict());
		o = json_tokener_parse_ex(tokener, (const char *)text.p, (int)text.n);
	}
	json_tokener_free(tokener);
	good = o && json_object_is_type(o, json_type_object) &&
	       !strcmp(hf_out_get(o, "attestation"), HF_ATTESTED_VERSION) && read_members(a, o);
	json_object_put(o);
	return good ? HF_OK
		    : hf_fail(e, HF_CORRUPT,
			      "this is not what 'holdfast key attest' writes, or it is damaged");
}

/* ---- TPMT_PUBLIC */

static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *rsa_key(const struct public *p, OSSL_PARAM_BLD *bld)
{
	BIGNUM *n = BN_bin2bn(p->x.p, (int)p->x.n, NULL);
	EVP_PKEY *key = NULL;

	if (n && BN_num_bits(n) == (int)p->bits &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_ulong(bld, OSSL_PKEY_PARAM_RSA_E,
				      p->exponent ? p->exponent : 65537))
		key = make_key("RSA", bld);
	BN_free(n);
	return key;
}

/* libcrypto refuses what is not on the curve. Coordinates may come without their leading zeros. */
static EVP_PKEY *ec_key(const struct public *p, OSSL_PARAM_BLD *bld)
{
	static const char *const groups[] = { [3] = "P-256", [4] = "P-384", [5] = "P-521" };
	static const size_t fields[] = { [3] = 32, [4] = 48, [5] = 66 };
	size_t field = p->curve < HF_COUNT(fields) ? fields[p->curve] : 0;
	uint8_t point[1 + 2 * 66] = { 4 };

	if (!field || !p->x.n || !p->y.n || p->x.n > field || p->y.n > field)
		return NULL;
	memcpy(point + 1 + field - p->x.n, p->x.p, p->x.n);
	memcpy(point + 1 + 2 * field - p->y.n, p->y.p, p->y.n);
	return OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, groups[p->curve],
					       0) &&
			       OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
								1 + 2 * field)
		       ? make_key("EC", bld)
		       : NULL;
}

static void read_parms(struct hf_rd *r, struct public *out)
{
	if (hf_rd16(r) != ALG_NULL) /* symmetric: bits, mode */
		(void)hf_rd32(r);
	out->scheme = hf_rd16(r);
	out->hash = out->scheme != ALG_NULL ? hf_rd16(r) : 0;
	if (out->type == ALG_RSA) {
		out->bits = hf_rd16(r);
		out->exponent = hf_rd32(r);
		out->x = hf_rd_2b(r);
		return;
	}
	out->curve = hf_rd16(r);
	if (hf_rd16(r) != ALG_NULL) /* kdf */
		(void)hf_rd16(r);
	out->x = hf_rd_2b(r);
	out->y = hf_rd_2b(r);
}

/* out->key is the caller's to free, in any case. */
static bool read_public(const struct hf_buf *in, struct public *out)
{
	struct hf_rd outer = { in->p, in->n, false }, r;
	struct hf_view all = hf_rd_2b(&outer);
	OSSL_PARAM_BLD *bld;

	memset(out, 0, sizeof(*out));
	r = (struct hf_rd){ all.p, all.n, !all.n };
	out->type = hf_rd16(&r);
	if (hf_rd16(&r) != ALG_SHA256)
		return false;
	out->attributes = hf_rd32(&r);
	(void)hf_rd_2b(&r); /* authPolicy */
	read_parms(&r, out);
	if (!hf_rd_end(&r) || !hf_rd_end(&outer) || out->x.n > 1024)
		return false;
	hf_be16(out->name, ALG_SHA256);
	bld = OSSL_PARAM_BLD_new();
	if (bld && EVP_Q_digest(NULL, "SHA256", NULL, all.p, all.n, out->name + 2, NULL))
		out->key = out->type == ALG_RSA	  ? rsa_key(out, bld)
			   : out->type == ALG_ECC ? ec_key(out, bld)
						  : NULL;
	OSSL_PARAM_BLD_free(bld);
	return out->key;
}

/* ---- what has to be so */

static bool is(struct hf_view v, const void *p, size_t n)
{
	return v.n == n && (!n || (v.p && !memcmp(v.p, p, n)));
}

/* TPMT_SIGNATURE: ECDSA with SHA-256. */
static bool signed_by(EVP_PKEY *key, const struct hf_buf *text, const struct hf_buf *signature)
{
	struct hf_rd in = { signature->p, signature->n, false };
	bool known = hf_rd16(&in) == ALG_ECDSA && hf_rd16(&in) == ALG_SHA256, good = false;
	struct hf_view r = hf_rd_2b(&in), s = hf_rd_2b(&in);
	ECDSA_SIG *sig = ECDSA_SIG_new();
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int n = -1;

	if (sig && md && known && hf_rd_end(&in) && r.n && s.n && r.n <= 66 && s.n <= 66 &&
	    ECDSA_SIG_set0(sig, BN_bin2bn(r.p, (int)r.n, NULL), BN_bin2bn(s.p, (int)s.n, NULL)))
		n = i2d_ECDSA_SIG(sig, &der);
	if (n > 0)
		good = EVP_DigestVerifyInit_ex(md, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
		       EVP_DigestVerify(md, der, (size_t)n, text->p, text->n) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(md);
	ECDSA_SIG_free(sig);
	return good;
}

/* A restricted key signs what its TPM says, and nothing that somebody has made to look like it. */
static enum hf_rc check_ak(const struct hf_attested *a, const struct public *ak, struct hf_err *e)
{
	const uint32_t wanted = OWN | RESTRICTED | SIGN;

	if (ak->type != ALG_ECC || ak->scheme != ALG_ECDSA || ak->hash != ALG_SHA256 ||
	    (ak->attributes & (wanted | DECRYPT)) != wanted)
		return hf_fail(e, HF_FAILED,
			       "the attestation key is not a restricted signing key that its TPM "
			       "made: it could sign anything");
	if (!signed_by(ak->key, &a->part[HF_ATTESTED_STATEMENT], &a->part[HF_ATTESTED_SIGNATURE]))
		return hf_fail(e, HF_FAILED,
			       "the statement is not signed by the attestation key beside it");
	return HF_OK;
}

/* The Qualified Name (part 1, 16.3) of a primary key of the endorsement hierarchy. */
static bool qualified(struct hf_view v, const struct public *ak)
{
	uint8_t text[4 + HF_TPM_NAME], name[HF_TPM_NAME];

	hf_be32(text, ENDORSEMENT);
	memcpy(text + 4, ak->name, HF_TPM_NAME);
	hf_be16(name, ALG_SHA256);
	return EVP_Q_digest(NULL, "SHA256", NULL, text, sizeof(text), name + 2, NULL) &&
	       is(v, name, sizeof(name));
}

/* TPMS_ATTEST (part 2, 10.12.12) of TPM2_CertifyCreation. */
static enum hf_rc check_statement(const struct hf_attested *a, const struct public *key,
				  const struct public *ak, struct hf_err *e)
{
	const struct hf_buf *statement = &a->part[HF_ATTESTED_STATEMENT];
	const struct hf_buf *made = &a->part[HF_ATTESTED_CREATION_DATA];
	struct hf_rd r = { statement->p, statement->n, false }, data = { made->p, made->n, false };
	struct hf_view creation = hf_rd_2b(&data), nonce, name, hash;
	bool known = hf_rd32(&r) == GENERATED && hf_rd16(&r) == ATTEST_CREATION;
	uint8_t digest[32];

	known = known && qualified(hf_rd_2b(&r), ak);
	nonce = hf_rd_2b(&r);
	(void)hf_rd_bytes(&r, 17 + 8); /* clockInfo, firmwareVersion */
	name = hf_rd_2b(&r);
	hash = hf_rd_2b(&r);
	if (!known || !hf_rd_end(&r))
		return hf_fail(e, HF_FAILED,
			       "the statement is not one about a key's creation, by the "
			       "attestation key beside it");
	if (!is(nonce, a->nonce.p, a->nonce.n))
		return hf_fail(e, HF_FAILED, "the statement was made for another nonce");
	if (!is(name, key->name, sizeof(key->name)))
		return hf_fail(e, HF_FAILED, "the statement is about another key");
	if (!hf_rd_end(&data) || !creation.n ||
	    !EVP_Q_digest(NULL, "SHA256", NULL, creation.p, creation.n, digest, NULL) ||
	    !is(hash, digest, sizeof(digest)))
		return hf_fail(e, HF_FAILED, "the statement is about another creation");
	return HF_OK;
}

static enum hf_rc check_key(const struct hf_attested *a, const struct public *key, struct hf_err *e)
{
	const struct hf_buf *told = &a->part[HF_ATTESTED_SPKI];
	const unsigned char *p = told->p;
	EVP_PKEY *spki = d2i_PUBKEY(NULL, &p, (long)told->n);
	bool same = spki && p == told->p + told->n && hf_certview_same_key(spki, key->key);

	EVP_PKEY_free(spki);
	if (!same)
		return hf_fail(e, HF_FAILED, "the public key is not that of the attested one");
	if ((key->attributes & OWN) != OWN)
		return hf_fail(e, HF_FAILED,
			       "the key was not made by the TPM, or may leave it (fixedTPM, "
			       "fixedParent, sensitiveDataOrigin are not all set)");
	return HF_OK;
}

static enum hf_rc check_all(struct hf_attested *a, const struct public *key,
			    const struct public *ak, const struct public *ek, struct hf_err *e)
{
	memcpy(a->key_name, key->name, sizeof(a->key_name));
	memcpy(a->ak_name, ak->name, sizeof(a->ak_name));
	memcpy(a->ek_name, ek->name, sizeof(a->ek_name));
	if (check_ak(a, ak, e) || check_statement(a, key, ak, e) || check_key(a, key, e))
		return e->rc;
	if (a->ek_certificate &&
	    !hf_certview_same_key(X509_get0_pubkey(a->ek_certificate), ek->key))
		return hf_fail(e, HF_FAILED,
			       "the certificate is not that of the endorsement key beside it");
	return HF_OK;
}

enum hf_rc hf_attested_verify(struct hf_attested *a, struct hf_err *e)
{
	struct public key, ak, ek;
	bool k1 = read_public(&a->part[HF_ATTESTED_KEY], &key);
	bool k2 = read_public(&a->part[HF_ATTESTED_AK], &ak);
	bool k3 = read_public(&a->part[HF_ATTESTED_EK], &ek);
	enum hf_rc rc;

	rc = k1 && k2 && k3 ? check_all(a, &key, &ak, &ek, e)
			    : hf_fail(e, HF_CORRUPT, "a public area in it is malformed");
	EVP_PKEY_free(key.key);
	EVP_PKEY_free(ak.key);
	EVP_PKEY_free(ek.key);
	return rc;
}
