/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: first the bytes are proved to be DER with one reading, then one
 * of four structures is recognised by its outermost elements, then libcrypto parses
 * it and has to give back the same bytes, and only then values are judged.
 */
#include "keeper/caprofile.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "keeper/caext.h"
#include "keeper/der.h"
#include "keeper/public.h"

#define DAY	   86400
#define AHEAD_MAX  300	/* seconds that notBefore may lie ahead: two clocks on one device */
#define BEHIND_MAX DAY	/* and behind: back-dating is for slow clocks, not for history */
#define BACKDATED  3600 /* of which this much does not count against max_days */
#define SERIAL_MIN 8u	/* octets: random enough not to repeat (P31), room for 64 bits */
#define SERIAL_MAX 20u	/* RFC 5280 4.1.2.2 */

/* The elements of what is to be signed, as DER; those that its kind lacks are empty. */
struct parts {
	struct hf_view serial, algorithm, issuer, subject, spki, not_before, not_after;
};

static bool same(struct hf_view a, struct hf_view b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

/* ---- recognising */

static bool take_whole(struct hf_view *in, uint8_t tag, struct hf_view *whole)
{
	struct hf_view rest = *in;
	struct hf_der d;

	if (!hf_der_next(&rest, &d) || d.tag != tag)
		return false;
	*in = rest;
	*whole = d.whole;
	return true;
}

static bool take_time(struct hf_view *in, struct hf_view *out)
{
	return take_whole(in, HF_DER_UTC_TIME, out) || take_whole(in, HF_DER_GENERALIZED_TIME, out);
}

static bool empty_element(struct hf_view in, uint8_t tag)
{
	struct hf_der d;

	return !in.n || (hf_der_next(&in, &d) && d.tag == tag && !in.n);
}

/* A key's bits are octets; libcrypto overlooks a count of unused bits that says otherwise. */
static bool whole_octets(struct hf_view spki)
{
	struct hf_view seq, skip, bits;

	return hf_der_take(&spki, HF_DER_SEQUENCE, &seq) &&
	       hf_der_take(&seq, HF_DER_SEQUENCE, &skip) &&
	       hf_der_take(&seq, HF_DER_BIT_STRING, &bits) && !seq.n && bits.n > 1 && !bits.p[0];
}

/* TBSCertificate of version 3, RFC 5280 4.1; unique identifiers are obsolete and not taken. */
static bool is_certificate(struct hf_view in, struct parts *p)
{
	struct hf_view version, number, validity;

	if (!hf_der_take(&in, HF_DER_CONTEXT, &version) ||
	    !hf_der_take(&version, HF_DER_INTEGER, &number) || version.n || number.n != 1 ||
	    number.p[0] != 2)
		return false;
	return hf_der_take(&in, HF_DER_INTEGER, &p->serial) &&
	       take_whole(&in, HF_DER_SEQUENCE, &p->algorithm) &&
	       take_whole(&in, HF_DER_SEQUENCE, &p->issuer) &&
	       hf_der_take(&in, HF_DER_SEQUENCE, &validity) &&
	       take_time(&validity, &p->not_before) && take_time(&validity, &p->not_after) &&
	       !validity.n && take_whole(&in, HF_DER_SEQUENCE, &p->subject) &&
	       take_whole(&in, HF_DER_SEQUENCE, &p->spki) && whole_octets(p->spki) &&
	       empty_element(in, HF_DER_CONTEXT + 3);
}

/* A certificate of version 1 has no version, one of version 2 says 1. */
static bool is_old_certificate(struct hf_view in)
{
	struct hf_view skip;
	unsigned i;

	if (hf_der_take(&in, HF_DER_CONTEXT, &skip) && skip.n == 3 && skip.p[2] != 2)
		return true;
	if (!hf_der_take(&in, HF_DER_INTEGER, &skip))
		return false;
	for (i = 0; i < 5; i++) /* algorithm, issuer, validity, subject, key */
		if (!hf_der_take(&in, HF_DER_SEQUENCE, &skip))
			return false;
	return true;
}

/* TBSCertList, RFC 5280 5.1. */
static bool is_crl(struct hf_view in, struct parts *p)
{
	struct hf_view skip;

	if (hf_der_take(&in, HF_DER_INTEGER, &skip) && (skip.n != 1 || skip.p[0] != 1))
		return false;
	if (!take_whole(&in, HF_DER_SEQUENCE, &p->algorithm) ||
	    !take_whole(&in, HF_DER_SEQUENCE, &p->issuer) || !take_time(&in, &p->not_before))
		return false;
	(void)take_time(&in, &p->not_after); /* nextUpdate may be missing */
	(void)hf_der_take(&in, HF_DER_SEQUENCE, &skip);
	return empty_element(in, HF_DER_CONTEXT);
}

/* CertificationRequestInfo, RFC 2986 4.1. */
static bool is_request(struct hf_view in, struct parts *p)
{
	struct hf_view version;

	return hf_der_take(&in, HF_DER_INTEGER, &version) && version.n == 1 && !version.p[0] &&
	       take_whole(&in, HF_DER_SEQUENCE, &p->subject) &&
	       take_whole(&in, HF_DER_SEQUENCE, &p->spki) && in.n &&
	       empty_element(in, HF_DER_CONTEXT);
}

static enum hf_rc recognise(const struct hf_ca_input *in, hf_Issued_Kind *kind, struct parts *p,
			    struct hf_err *e)
{
	struct hf_view all = in->data, body;

	memset(p, 0, sizeof(*p));
	if (!hf_der_strict(in->data) || !hf_der_take(&all, HF_DER_SEQUENCE, &body))
		return hf_fail(e, HF_REFUSED,
			       "a ca key signs certificates, CRLs and its own requests; "
			       "this is none of them, or not DER");
	if (is_certificate(body, p))
		*kind = same(p->spki, in->spki) ? hf_Issued_Kind_SELF : hf_Issued_Kind_CERTIFICATE;
	else if (is_crl(body, p))
		*kind = hf_Issued_Kind_CRL;
	else if (is_request(body, p))
		*kind = hf_Issued_Kind_REQUEST;
	else if (is_old_certificate(body))
		return hf_fail(e, HF_REFUSED,
			       "the certificate is of version 1: it has no extensions, so "
			       "nothing says that it is not a CA. With `openssl x509 -req` give "
			       "-extfile FILE, with basicConstraints=critical,CA:FALSE in it");
	else
		return hf_fail(e, HF_REFUSED,
			       "a ca key signs certificates, CRLs and its own requests; "
			       "this is none of them");
	return HF_OK;
}

/* ---- values */

static bool is_pss(const X509_ALGOR *alg, int hash, size_t hash_len)
{
	RSA_PSS_PARAMS *pss = NULL;
	X509_ALGOR *inner = NULL;
	bool ok = false;

	if (alg->parameter && alg->parameter->type == V_ASN1_SEQUENCE)
		pss = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), alg->parameter);
	if (pss && pss->hashAlgorithm && pss->maskGenAlgorithm && pss->saltLength &&
	    pss->maskGenAlgorithm->parameter &&
	    OBJ_obj2nid(pss->maskGenAlgorithm->algorithm) == NID_mgf1)
		inner = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR),
						  pss->maskGenAlgorithm->parameter);
	if (inner)
		ok = OBJ_obj2nid(pss->hashAlgorithm->algorithm) == hash &&
		     OBJ_obj2nid(inner->algorithm) == hash &&
		     ASN1_INTEGER_get(pss->saltLength) == (long)hash_len && !pss->trailerField;
	X509_ALGOR_free(inner);
	RSA_PSS_PARAMS_free(pss);
	return ok;
}

/* RFC 5758 3.2: ECDSA without parameters; RFC 4055 5: RSA with NULL. */
static bool is_scheme(const X509_ALGOR *alg, const struct hf_scheme *s)
{
	static const int hashes[] = { NID_sha256, NID_sha384, NID_sha512 };
	static const int ecdsa[] = { NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384,
				     NID_ecdsa_with_SHA512 };
	static const int rsa[] = { NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption,
				   NID_sha512WithRSAEncryption };
	size_t i = s->hash_len == 64 ? 2 : s->hash_len == 48 ? 1 : 0;
	int nid = OBJ_obj2nid(alg->algorithm);

	if (s->family == HF_FAMILY_EC)
		return nid == ecdsa[i] && !alg->parameter;
	if (s->pad == HF_PAD_PKCS1)
		return nid == rsa[i] && alg->parameter && alg->parameter->type == V_ASN1_NULL;
	return nid == NID_rsassaPss && is_pss(alg, hashes[i], s->hash_len);
}

static enum hf_rc check_algorithm(struct hf_view der, const struct hf_scheme *s, struct hf_err *e)
{
	const unsigned char *p = der.p;
	X509_ALGOR *alg = d2i_X509_ALGOR(NULL, &p, (long)der.n);
	bool ok = alg && is_scheme(alg, s);

	X509_ALGOR_free(alg);
	return ok ? HF_OK
		  : hf_fail(e, HF_REFUSED,
			    "the signature algorithm named inside is not %s, which is "
			    "what it would be signed with",
			    s->name);
}

static bool seconds_of(struct hf_view der, int64_t *out)
{
	const unsigned char *p = der.p;
	ASN1_TIME *t = d2i_ASN1_TIME(NULL, &p, (long)der.n);
	struct tm tm;
	bool ok;

	ok = t && ASN1_TIME_to_tm(t, &tm) == 1;
	/* RFC 5280 4.1.2.5: two-digit years until 2049, four digits from 2050 on. */
	if (ok && der.p[0] == HF_DER_GENERALIZED_TIME && tm.tm_year + 1900 < 2050)
		ok = false;
	ASN1_TIME_free(t);
	if (ok)
		*out = (int64_t)timegm(&tm);
	return ok;
}

static enum hf_rc check_serial(struct hf_view serial, hf_Issued *out, struct hf_err *e)
{
	struct hf_view v = serial;

	if (v.n && (v.p[0] & 0x80))
		return hf_fail(e, HF_REFUSED, "the serial number is negative");
	if (v.n > 1 && !v.p[0])
		v.p++, v.n--;
	if (v.n < SERIAL_MIN || serial.n > SERIAL_MAX)
		return hf_fail(e, HF_REFUSED,
			       "the serial number has %zu octets; use 8 to 20 random ones "
			       "(openssl x509 does, without -set_serial and -CAserial)",
			       v.n);
	(void)HF_PB_SET(out->serial, v.p, v.n);
	return HF_OK;
}

static enum hf_rc check_validity(const struct hf_ca_input *in, const struct parts *p, bool self,
				 hf_Issued *out, struct hf_err *e)
{
	uint32_t max_days = self ? in->profile->self_max_days : in->profile->max_days;
	uint64_t limit = self ? 0 : in->issuer_not_after;
	int64_t from, to;

	if (!seconds_of(p->not_before, &from) || !seconds_of(p->not_after, &to) || to < 0)
		return hf_fail(e, HF_REFUSED,
			       "notBefore or notAfter is no valid date, or in the wrong form "
			       "(years from 2050 have four digits, earlier ones two)");
	if (to <= from)
		return hf_fail(e, HF_REFUSED, "notAfter is not later than notBefore");
	if (from > in->now + AHEAD_MAX)
		return hf_fail(e, HF_REFUSED,
			       "notBefore lies in the future; check the clock of who asks");
	if (from < in->now - BEHIND_MAX)
		return hf_fail(e, HF_REFUSED, "notBefore lies more than a day in the past");
	if (to <= in->now)
		return hf_fail(e, HF_REFUSED, "the certificate would have expired already");
	if (to - from > (int64_t)max_days * DAY + BACKDATED)
		return hf_fail(e, HF_REFUSED,
			       "it would be valid for %lld days, the key's profile allows %u; "
			       "ask for fewer, or change %s of the profile",
			       (long long)((to - from + DAY - 1) / DAY), max_days,
			       self ? "self_max_days" : "max_days");
	if (limit && (uint64_t)to > limit)
		return hf_fail(e, HF_REFUSED,
			       "notAfter is later than that of the issuer's own certificate; "
			       "ask for fewer days, or renew the issuer first");
	out->not_after = (uint64_t)to;
	return HF_OK;
}

static enum hf_rc describe(const X509_NAME *subject, hf_Issued *out, struct hf_err *e)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (!bio || X509_NAME_print_ex(bio, subject, 0, XN_FLAG_RFC2253) < 0) {
		BIO_free(bio);
		return hf_fail(e, HF_REFUSED, "the subject cannot be read");
	}
	n = BIO_get_mem_data(bio, &text);
	if (n > (long)sizeof(out->subject) - 1)
		n = (long)sizeof(out->subject) - 1;
	if (n > 0)
		memcpy(out->subject, text, (size_t)n);
	out->subject[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	return HF_OK;
}

static enum hf_rc check_issuer(const struct hf_ca_input *in, const struct parts *p,
			       struct hf_err *e)
{
	if (in->issuer_subject.n && !same(in->issuer_subject, p->issuer))
		return hf_fail(e, HF_REFUSED,
			       "the issuer named inside is not the subject of the certificate "
			       "that is registered for this key");
	return HF_OK;
}

/* A CA below ours, which the profile allows: it says so in full, and how far down it reaches. */
static enum hf_rc check_sub_ca(const struct hf_ca_claims *claims, const hf_CaProfile *profile,
			       struct hf_err *e)
{
	if (!claims->constraints_critical || !claims->ca || !claims->has_pathlen ||
	    claims->pathlen >= (long)profile->ca_levels)
		return hf_fail(e, HF_REFUSED,
			       "a CA below this key needs a pathlen of at most %u, as its profile "
			       "says (basicConstraints=critical,CA:TRUE,pathlen:%u)",
			       profile->ca_levels - 1, profile->ca_levels - 1);
	if (!claims->usage_critical || !claims->signs_certificates)
		return hf_fail(e, HF_REFUSED,
			       "a CA below this key needs keyUsage=critical,keyCertSign");
	return HF_OK;
}

/* ---- the four kinds */

static enum hf_rc check_leaf(const struct hf_ca_input *in, const struct parts *p, const X509 *x,
			     hf_Issued *out, struct hf_err *e)
{
	EVP_PKEY *subject_key = X509_get0_pubkey(x);
	const unsigned char *own_der = in->spki.p;
	struct hf_ca_claims claims;
	EVP_PKEY *own;
	bool is_own;

	if (!subject_key || hf_public_strong(subject_key, e))
		return subject_key ? hf_within(e, "the certificate's key")
				   : hf_fail(e, HF_REFUSED, "the certificate's key cannot be read");
	own = d2i_PUBKEY(NULL, &own_der, (long)in->spki.n);
	if (!own)
		return hf_fail(e, HF_CORRUPT, "the recorded public key is malformed");
	is_own = EVP_PKEY_eq(own, subject_key) == 1;
	EVP_PKEY_free(own);
	if (is_own)
		return hf_fail(e, HF_REFUSED,
			       "the certificate is for the ca key itself, in another encoding");
	if (same(p->subject, p->issuer))
		return hf_fail(e, HF_REFUSED,
			       "the subject is the issuer's own name; choose another");
	if (hf_ca_claims(x, &claims, e))
		return e->rc;
	if (!claims.constraints)
		return hf_fail(e, HF_REFUSED,
			       "nothing says that the certificate is not a CA; add "
			       "basicConstraints=critical,CA:FALSE (openssl x509: -extfile)");
	if ((claims.ca || claims.has_pathlen) && in->profile->ca_levels) {
		if (check_sub_ca(&claims, in->profile, e))
			return e->rc;
	} else if (claims.ca || claims.has_pathlen) {
		return hf_fail(e, HF_REFUSED,
			       "the certificate would be a CA (CA:TRUE or pathlen); this key "
			       "issues end entity certificates only: CA:FALSE");
	} else if (claims.signs_certificates || claims.signs_crls) {
		return hf_fail(e, HF_REFUSED,
			       "keyUsage has keyCertSign or cRLSign, which are for CAs; "
			       "leave them out");
	}
	if (claims.signs_ocsp)
		return hf_fail(e, HF_REFUSED,
			       "extendedKeyUsage has OCSPSigning, which would speak for the "
			       "CA; leave it out");
	if (hf_ca_names(x, in->profile, e) || check_issuer(in, p, e))
		return e->rc;
	return check_validity(in, p, false, out, e);
}

static enum hf_rc check_self(const struct hf_ca_input *in, const struct parts *p, const X509 *x,
			     hf_Issued *out, struct hf_err *e)
{
	struct hf_ca_claims claims;

	if (!same(p->subject, p->issuer))
		return hf_fail(e, HF_REFUSED,
			       "a certificate for the ca key itself has to be self-signed: "
			       "subject and issuer have to be the same; for another CA's "
			       "signature make a request");
	if (hf_ca_claims(x, &claims, e))
		return e->rc;
	if (!claims.constraints_critical || !claims.ca)
		return hf_fail(e, HF_REFUSED,
			       "the ca key's own certificate needs "
			       "basicConstraints=critical,CA:TRUE");
	if (!claims.has_pathlen || claims.pathlen > (long)in->profile->pathlen)
		return hf_fail(e, HF_REFUSED,
			       "the ca key's own certificate needs a pathlen of at most %u, as "
			       "its profile says (basicConstraints=critical,CA:TRUE,pathlen:%u)",
			       in->profile->pathlen, in->profile->pathlen);
	if (!claims.usage_critical || !claims.signs_certificates)
		return hf_fail(e, HF_REFUSED,
			       "the ca key's own certificate needs "
			       "keyUsage=critical,keyCertSign");
	if (!HF_PB_SET(out->subject_der, p->subject.p, p->subject.n))
		return hf_fail(e, HF_REFUSED, "the subject is longer than 1024 bytes");
	return check_validity(in, p, true, out, e);
}

static bool hash_spki(struct hf_view spki, hf_Issued *out)
{
	out->spki_sha256.size = 32;
	return !hf_hash("SHA2-256", spki, out->spki_sha256.bytes, NULL);
}

static enum hf_rc check_certificate(const struct hf_ca_input *in, const struct parts *p,
				    const X509 *x, hf_Issued *out, struct hf_err *e)
{
	if (check_algorithm(p->algorithm, in->scheme, e) || check_serial(p->serial, out, e))
		return e->rc;
	if (!hash_spki(p->spki, out))
		return hf_fail(e, HF_FAILED, "cannot hash the subject's key");
	if (describe(X509_get_subject_name(x), out, e))
		return e->rc;
	return out->kind == hf_Issued_Kind_SELF ? check_self(in, p, x, out, e)
						: check_leaf(in, p, x, out, e);
}

static enum hf_rc check_crl(const struct hf_ca_input *in, const struct parts *p, X509_CRL *crl,
			    hf_Issued *out, struct hf_err *e)
{
	int64_t from, to = 0;
	int i;

	if (check_algorithm(p->algorithm, in->scheme, e) || check_issuer(in, p, e))
		return e->rc;
	if (!seconds_of(p->not_before, &from) || (p->not_after.n && !seconds_of(p->not_after, &to)))
		return hf_fail(e, HF_REFUSED, "a date of the CRL is malformed");
	if (from > in->now + AHEAD_MAX)
		return hf_fail(e, HF_REFUSED, "thisUpdate of the CRL lies in the future");
	if (p->not_after.n && to <= from)
		return hf_fail(e, HF_REFUSED, "nextUpdate of the CRL is not later than thisUpdate");
	for (i = 0; i < X509_CRL_get_ext_count(crl); i++) {
		X509_EXTENSION *ext = X509_CRL_get_ext(crl, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));

		if (X509_EXTENSION_get_critical(ext) && nid != NID_issuing_distribution_point &&
		    nid != NID_delta_crl)
			return hf_fail(e, HF_REFUSED,
				       "the CRL has a critical extension that is not known "
				       "here");
	}
	out->not_after = to > 0 ? (uint64_t)to : 0;
	return describe(X509_CRL_get_issuer(crl), out, e);
}

static enum hf_rc check_request(const struct hf_ca_input *in, const struct parts *p,
				const X509_REQ *req, hf_Issued *out, struct hf_err *e)
{
	if (!same(p->spki, in->spki))
		return hf_fail(e, HF_REFUSED,
			       "the request is for another key; a ca key signs only requests "
			       "for itself");
	if (!hash_spki(p->spki, out))
		return hf_fail(e, HF_FAILED, "cannot hash the subject's key");
	return describe(X509_REQ_get_subject_name(req), out, e);
}

/* ---- there and back through libcrypto */

/* SEQUENCE { what is to be signed, an algorithm, an empty signature }: an object to parse. */
static void complete(struct hf_buf *out, struct hf_view data, struct hf_view algorithm)
{
	static const uint8_t no_signature[] = { HF_DER_BIT_STRING, 1, 0 };
	HF_AUTO_BUF body = HF_BUF(out->max);

	hf_buf_add(&body, data.p, data.n);
	hf_buf_add(&body, algorithm.p, algorithm.n);
	hf_buf_add(&body, no_signature, sizeof(no_signature));
	hf_der_put(out, HF_DER_SEQUENCE, body.p, body.n);
	out->bad |= body.bad;
}

static bool gives_back(int n, unsigned char **again, struct hf_view data)
{
	bool ok = n > 0 && same((struct hf_view){ *again, (size_t)n }, data);

	OPENSSL_free(*again);
	return ok;
}

static enum hf_rc not_back(struct hf_err *e)
{
	return hf_fail(e, HF_REFUSED,
		       "libcrypto reads it as something else than it says; make it anew");
}

static enum hf_rc parse_certificate(const struct hf_ca_input *in, const struct parts *p,
				    struct hf_view whole, hf_Issued *out, struct hf_err *e)
{
	const unsigned char *at = whole.p;
	X509 *x = d2i_X509(NULL, &at, (long)whole.n);
	unsigned char *again = NULL;
	enum hf_rc rc;

	if (x && at == whole.p + whole.n &&
	    gives_back(i2d_re_X509_tbs(x, &again), &again, in->data))
		rc = check_certificate(in, p, x, out, e);
	else
		rc = not_back(e);
	X509_free(x);
	return rc;
}

static enum hf_rc parse_crl(const struct hf_ca_input *in, const struct parts *p,
			    struct hf_view whole, hf_Issued *out, struct hf_err *e)
{
	const unsigned char *at = whole.p;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)whole.n);
	unsigned char *again = NULL;
	enum hf_rc rc;

	if (crl && at == whole.p + whole.n &&
	    gives_back(i2d_re_X509_CRL_tbs(crl, &again), &again, in->data))
		rc = check_crl(in, p, crl, out, e);
	else
		rc = not_back(e);
	X509_CRL_free(crl);
	return rc;
}

static enum hf_rc parse_request(const struct hf_ca_input *in, const struct parts *p,
				struct hf_view whole, hf_Issued *out, struct hf_err *e)
{
	const unsigned char *at = whole.p;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)whole.n);
	unsigned char *again = NULL;
	enum hf_rc rc;

	if (req && at == whole.p + whole.n &&
	    gives_back(i2d_re_X509_REQ_tbs(req, &again), &again, in->data))
		rc = check_request(in, p, req, out, e);
	else
		rc = not_back(e);
	X509_REQ_free(req);
	return rc;
}

enum hf_rc hf_ca_check(const struct hf_ca_input *in, hf_Issued *out, struct hf_err *e)
{
	/* A request names no algorithm inside; any will do to parse it. */
	static const uint8_t ecdsa[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
					 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
	HF_AUTO_BUF whole = HF_BUF(HF_DATA_MAX + 1024);
	struct hf_err local = HF_ERR_INIT;
	struct hf_view algorithm;
	struct parts p;

	e = e ? e : &local;
	memset(out, 0, sizeof(*out));
	if (in->scheme->hash_len && in->scheme->hash_len < 32)
		return hf_fail(e, HF_REFUSED, "a ca key does not sign with %s; sha256 will do",
			       in->scheme->tls_hash);
	if (recognise(in, &out->kind, &p, e))
		return e->rc;
	algorithm = p.algorithm.n ? p.algorithm : (struct hf_view){ ecdsa, sizeof(ecdsa) };
	complete(&whole, in->data, algorithm);
	if (whole.bad)
		return hf_fail(e, HF_REFUSED, "too long to be signed (%zu bytes)", in->data.n);
	switch (out->kind) {
	case hf_Issued_Kind_CRL:
		return parse_crl(in, &p, HF_VIEW_BUF(&whole), out, e);
	case hf_Issued_Kind_REQUEST:
		return parse_request(in, &p, HF_VIEW_BUF(&whole), out, e);
	case hf_Issued_Kind_CERTIFICATE:
	case hf_Issued_Kind_SELF:
		return parse_certificate(in, &p, HF_VIEW_BUF(&whole), out, e);
	case hf_Issued_Kind_NONE:
		break;
	}
	return hf_fail(e, HF_REFUSED, "nothing to sign");
}

static enum hf_rc check_registered(const X509 *x, const struct parts *p, struct hf_view spki,
				   hf_KeeperParsed *out, struct hf_err *e)
{
	struct hf_ca_claims claims;
	hf_Issued text;
	int64_t to;

	memset(&text, 0, sizeof(text));
	if (!same(p->spki, spki))
		return hf_fail(e, HF_ARGUMENT, "the certificate is for another key");
	if (hf_ca_claims(x, &claims, e) || describe(X509_get_subject_name(x), &text, e))
		return hf_fail(e, HF_ARGUMENT,
			       "the certificate's extensions or subject are malformed");
	if (!claims.ca)
		return hf_fail(e, HF_ARGUMENT,
			       "the certificate is not a CA's (basicConstraints CA:TRUE); "
			       "it cannot be the issuer of others");
	if (!seconds_of(p->not_after, &to) || to < 0)
		return hf_fail(e, HF_ARGUMENT, "the certificate's notAfter is malformed");
	if (!HF_PB_SET(out->subject_der, p->subject.p, p->subject.n))
		return hf_fail(e, HF_ARGUMENT, "the subject is longer than 1024 bytes");
	(void)hf_copy(out->subject, sizeof(out->subject), text.subject);
	out->not_after = (uint64_t)to;
	return HF_OK;
}

enum hf_rc hf_ca_certificate(struct hf_view spki, struct hf_view certificate, hf_KeeperParsed *out,
			     struct hf_err *e)
{
	struct hf_view in = certificate, body, tbs;
	const unsigned char *at = certificate.p;
	struct parts p;
	enum hf_rc rc;
	X509 *x;

	memset(&p, 0, sizeof(p));
	if (!hf_der_strict(certificate) || !hf_der_take(&in, HF_DER_SEQUENCE, &body) ||
	    !hf_der_take(&body, HF_DER_SEQUENCE, &tbs) || !is_certificate(tbs, &p))
		return hf_fail(e, HF_ARGUMENT, "not an X.509 v3 certificate in DER");
	x = d2i_X509(NULL, &at, (long)certificate.n);
	if (!x || at != certificate.p + certificate.n)
		rc = hf_fail(e, HF_ARGUMENT, "the certificate is malformed");
	else
		rc = check_registered(x, &p, spki, out, e);
	X509_free(x);
	return rc;
}
