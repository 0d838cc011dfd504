/* SPDX-License-Identifier: Apache-2.0 */
/* attr.c: what objects say of themselves (PKCS#11 2.40, 4). */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/buf.h"
#include "p11/mech.h"
#include "p11/object.h"
#include "wire/packet.h"

#define VALUE_MAX 4096u

/* Answers the length, and the value if there is room, as C_GetAttributeValue does. */
static ck_rv_t give(struct ck_attribute *a, const void *p, size_t n)
{
	if (!a->value) {
		a->value_len = n;
		return CKR_OK;
	}
	/* A template used again after an error says that its buffer is endless. */
	if (a->value_len == CK_UNAVAILABLE_INFORMATION || a->value_len < n) {
		a->value_len = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	if (n)
		memcpy(a->value, p, n);
	a->value_len = n;
	return CKR_OK;
}

static ck_rv_t none(struct ck_attribute *a, ck_rv_t why)
{
	a->value_len = CK_UNAVAILABLE_INFORMATION;
	return why;
}

static ck_rv_t give_bool(struct ck_attribute *a, bool is)
{
	unsigned char b = is;

	return give(a, &b, 1);
}

static ck_rv_t give_ulong(struct ck_attribute *a, unsigned long n)
{
	return give(a, &n, sizeof(n));
}

static ck_rv_t give_bn(struct ck_attribute *a, const EVP_PKEY *pub, const char *name)
{
	unsigned char bytes[VALUE_MAX / 8];
	BIGNUM *bn = NULL;
	int n = -1;

	if (EVP_PKEY_get_bn_param(pub, name, &bn) && BN_num_bytes(bn) <= (int)sizeof(bytes))
		n = BN_bn2bin(bn, bytes);
	BN_free(bn);
	return n < 0 ? none(a, CKR_ATTRIBUTE_TYPE_INVALID) : give(a, bytes, (size_t)n);
}

/* The curve as a named one: an OBJECT IDENTIFIER in DER (RFC 5480, namedCurve). */
static ck_rv_t give_curve(struct ck_attribute *a, const struct hf_p11_key *k)
{
	ASN1_OBJECT *o;
	unsigned char *der = NULL;
	ck_rv_t rv;
	int n;

	if (k->algorithm->family == HF_FAMILY_ED25519) /* PKCS#11 3.0: PrintableString */
		return give(a,
			    "\x13\x0c"
			    "edwards25519",
			    14);
	o = OBJ_nid2obj(EC_curve_nist2nid(k->algorithm->group));
	n = o ? i2d_ASN1_OBJECT(o, &der) : -1;
	rv = n < 0 ? none(a, CKR_ATTRIBUTE_TYPE_INVALID) : give(a, der, (size_t)n);
	OPENSSL_free(der);
	return rv;
}

/*
 * The point in an OCTET STRING in DER, as the SPKI has it. Not as libcrypto tells it: where the
 * program has an ENGINE for public keys, that is compressed, which many do not understand.
 */
static ck_rv_t give_point(struct ck_attribute *a, const struct hf_p11_key *k)
{
	const unsigned char *p = k->spki, *point;
	X509_PUBKEY *spki = d2i_X509_PUBKEY(NULL, &p, (long)k->n_spki);
	unsigned char der[168];
	int n = 0, at = 0;

	if (spki && X509_PUBKEY_get0_param(NULL, &point, &n, NULL, spki) && n > 0 && n <= 160) {
		der[at++] = 0x04;
		if (n > 127)
			der[at++] = 0x81;
		der[at++] = (unsigned char)n;
		memcpy(der + at, point, (size_t)n);
	}
	X509_PUBKEY_free(spki);
	return at ? give(a, der, (size_t)(at + n)) : none(a, CKR_ATTRIBUTE_TYPE_INVALID);
}

/* ---- keys */

static ck_key_type_t key_type(const struct hf_p11_key *k)
{
	static const ck_key_type_t types[] = {
		[HF_FAMILY_RSA] = CKK_RSA,
		[HF_FAMILY_EC] = CKK_EC,
		[HF_FAMILY_ED25519] = CKK_EC_EDWARDS,
	};

	return types[k->algorithm->family];
}

static ck_mechanism_type_t made_by(const struct hf_p11_key *k)
{
	static const ck_mechanism_type_t types[] = {
		[HF_FAMILY_RSA] = CKM_RSA_PKCS_KEY_PAIR_GEN,
		[HF_FAMILY_EC] = CKM_EC_KEY_PAIR_GEN,
		[HF_FAMILY_ED25519] = CKM_EC_EDWARDS_KEY_PAIR_GEN,
	};

	return types[k->algorithm->family];
}

static ck_rv_t give_mechs(struct ck_attribute *a, const struct hf_p11_key *k)
{
	ck_mechanism_type_t list[32];
	size_t n = 0;
	const struct hf_p11_mech *m;

	for (m = hf_p11_mechs; m->flags; m++)
		if (hf_p11_mech_fits(m, k->algorithm->family, k->usage))
			list[n++] = m->type;
	return give(a, list, n * sizeof(list[0]));
}

/* What both halves have. CKR_ATTRIBUTE_TYPE_INVALID: something else is asked. */
static ck_rv_t of_key(const struct hf_p11_key *k, struct ck_attribute *a)
{
	bool rsa = k->algorithm->family == HF_FAMILY_RSA;

	switch (a->type) {
	case CKA_KEY_TYPE:
		return give_ulong(a, key_type(k));
	case CKA_ID:
		return give(a, k->id, HF_P11_ID);
	case CKA_LABEL:
		return give(a, k->name, strlen(k->name));
	case CKA_SUBJECT:
	case CKA_START_DATE:
	case CKA_END_DATE:
		return give(a, NULL, 0);
	case CKA_LOCAL:
		return give_bool(a, !k->imported);
	case CKA_KEY_GEN_MECHANISM: /* 2.40, 4.7: what is not known of a key that is not local */
		return give_ulong(a, k->imported ? CK_UNAVAILABLE_INFORMATION : made_by(k));
	case CKA_PUBLIC_KEY_INFO:
		return give(a, k->spki, k->n_spki);
	case CKA_MODULUS:
		return rsa ? give_bn(a, k->pub, OSSL_PKEY_PARAM_RSA_N)
			   : none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	case CKA_PUBLIC_EXPONENT:
		return rsa ? give_bn(a, k->pub, OSSL_PKEY_PARAM_RSA_E)
			   : none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	case CKA_EC_PARAMS:
		return rsa ? none(a, CKR_ATTRIBUTE_TYPE_INVALID) : give_curve(a, k);
	case CKA_EC_POINT:
		return rsa ? none(a, CKR_ATTRIBUTE_TYPE_INVALID) : give_point(a, k);
	default:
		return none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	}
}

static ck_rv_t of_public(const struct hf_p11_key *k, struct ck_attribute *a)
{
	switch (a->type) {
	case CKA_VERIFY:
		return give_bool(a, k->usage & (HF_USAGE_SIGN | HF_USAGE_CA));
	case CKA_ENCRYPT:
	case CKA_WRAP:
	case CKA_VERIFY_RECOVER:
	case CKA_DERIVE:
	case CKA_TRUSTED:
		return give_bool(a, false);
	case CKA_MODULUS_BITS:
		return k->algorithm->family == HF_FAMILY_RSA ? give_ulong(a, k->algorithm->bits)
							     : none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	default:
		return of_key(k, a);
	}
}

static ck_rv_t of_private(const struct hf_p11_key *k, struct ck_attribute *a)
{
	switch (a->type) {
	case CKA_SIGN:
		return give_bool(a, k->usage & (HF_USAGE_SIGN | HF_USAGE_CA));
	case CKA_DECRYPT:
		return give_bool(a, k->usage & HF_USAGE_DECRYPT);
	case CKA_DERIVE:
		return give_bool(a, k->usage & HF_USAGE_DERIVE);
	case CKA_SENSITIVE:
		return give_bool(a, true);
	case CKA_ALWAYS_SENSITIVE:
		return give_bool(a, !k->imported);
	case CKA_NEVER_EXTRACTABLE:
		return give_bool(a, !k->imported && !k->exported);
	case CKA_EXTRACTABLE:
	case CKA_UNWRAP:
	case CKA_SIGN_RECOVER:
	case CKA_ALWAYS_AUTHENTICATE:
	case CKA_WRAP_WITH_TRUSTED:
		return give_bool(a, false);
	case CKA_ALLOWED_MECHANISMS:
		return give_mechs(a, k);
	case CKA_VALUE:
	case CKA_PRIVATE_EXPONENT:
	case CKA_PRIME_1:
	case CKA_PRIME_2:
	case CKA_EXPONENT_1:
	case CKA_EXPONENT_2:
	case CKA_COEFFICIENT:
		return none(a, CKR_ATTRIBUTE_SENSITIVE);
	default:
		return of_key(k, a);
	}
}

/* ---- certificates and secrets */

static ck_rv_t give_der(struct ck_attribute *a, unsigned char *der, int n)
{
	ck_rv_t rv = n < 0 ? none(a, CKR_ATTRIBUTE_TYPE_INVALID) : give(a, der, (size_t)n);

	OPENSSL_free(der);
	return rv;
}

static ck_rv_t of_cert(const struct hf_p11_cert *c, struct ck_attribute *a)
{
	unsigned char *der = NULL;
	int n;

	switch (a->type) {
	case CKA_CERTIFICATE_TYPE:
		return give_ulong(a, CKC_X_509);
	case CKA_CERTIFICATE_CATEGORY:
		return give_ulong(a, 0);
	case CKA_ID:
		return give(a, c->id, HF_P11_ID);
	case CKA_LABEL:
		return give(a, c->label, strlen(c->label));
	case CKA_VALUE:
		return give(a, c->der, c->n_der);
	case CKA_SUBJECT:
		n = i2d_X509_NAME(X509_get_subject_name(c->x), &der);
		return give_der(a, der, n);
	case CKA_ISSUER:
		n = i2d_X509_NAME(X509_get_issuer_name(c->x), &der);
		return give_der(a, der, n);
	case CKA_SERIAL_NUMBER:
		n = i2d_ASN1_INTEGER(X509_get0_serialNumber(c->x), &der);
		return give_der(a, der, n);
	case CKA_PUBLIC_KEY_INFO:
		n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x), &der);
		return give_der(a, der, n);
	case CKA_TRUSTED:
		return give_bool(a, false);
	case CKA_START_DATE:
	case CKA_END_DATE:
	case CKA_URL:
		return give(a, NULL, 0);
	default:
		return none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	}
}

static ck_rv_t of_secret(const struct hf_p11_secret *s, struct ck_attribute *a)
{
	switch (a->type) {
	case CKA_KEY_TYPE:
		return give_ulong(a, s->type);
	case CKA_VALUE:
		return s->sensitive || !s->extractable ? none(a, CKR_ATTRIBUTE_SENSITIVE)
						       : give(a, s->value, s->n);
	case CKA_VALUE_LEN:
		return give_ulong(a, s->n);
	case CKA_ID:
	case CKA_LABEL:
	case CKA_START_DATE:
	case CKA_END_DATE:
		return give(a, NULL, 0);
	case CKA_EXTRACTABLE:
		return give_bool(a, s->extractable);
	case CKA_SENSITIVE:
		return give_bool(a, s->sensitive);
	case CKA_ALWAYS_SENSITIVE: /* 2.40, 2.3.6: of the base key and of this one */
		return give_bool(a, s->sensitive && s->base_inside);
	case CKA_NEVER_EXTRACTABLE:
		return give_bool(a, !s->extractable && s->base_inside);
	case CKA_LOCAL:
		return give_bool(a, false);
	case CKA_KEY_GEN_MECHANISM:
		return give_ulong(a, CK_UNAVAILABLE_INFORMATION);
	default:
		return none(a, CKR_ATTRIBUTE_TYPE_INVALID);
	}
}

ck_rv_t hf_p11_attribute(const struct hf_p11_object *o, struct ck_attribute *a)
{
	ck_rv_t rv;

	switch (a->type) {
	case CKA_CLASS:
		return give_ulong(a, o->class);
	case CKA_TOKEN:
		return give_bool(a, !o->secret);
	case CKA_PRIVATE: /* that is, only there after a login */
	case CKA_MODIFIABLE:
	case CKA_COPYABLE:
		return give_bool(a, false);
	case CKA_DESTROYABLE:
		return give_bool(a, o->secret);
	default:
		break;
	}
	ERR_set_mark();
	if (o->cert)
		rv = of_cert(o->cert, a);
	else if (o->secret)
		rv = of_secret(o->secret, a);
	else
		rv = o->class == CKO_PRIVATE_KEY ? of_private(o->key, a) : of_public(o->key, a);
	ERR_pop_to_mark();
	return rv;
}
