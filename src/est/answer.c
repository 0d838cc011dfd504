/* SPDX-License-Identifier: Apache-2.0 */
#include "est/answer.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "est/cacerts.h"
#include "est/certs.h"
#include "est/key.h"
#include "est/names.h"

static X509 *find(struct hf_est *x, STACK_OF(X509) * certs)
{
	unsigned char *mine = NULL, *theirs;
	int n = hf_key_spki(x->key, &mine), m, i;
	X509 *found = NULL;

	for (i = 0; n > 0 && !found && i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);

		theirs = NULL;
		m = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &theirs);
		if (m == n && !memcmp(mine, theirs, (size_t)n))
			found = cert;
		OPENSSL_free(theirs);
	}
	OPENSSL_free(mine);
	ERR_clear_error();
	return found;
}

/* ---------------------------------------------------------------- names */

static GENERAL_NAMES *sans_of_plan(const struct hf_csr_plan *plan)
{
	return plan->exts ? X509V3_get_d2i(plan->exts, NID_subject_alt_name, NULL, NULL) : NULL;
}

static bool has_name(GENERAL_NAMES *list, GENERAL_NAME *name)
{
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(list); i++)
		if (!GENERAL_NAME_cmp(sk_GENERAL_NAME_value(list, i), name))
			return true;
	return false;
}

/* Many CAs repeat the CN as a DNS name. It says nothing that was not asked for. */
static bool is_cn(X509 *cert, const GENERAL_NAME *name)
{
	char cn[128];
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn,
					  sizeof(cn)),
	    type = 0;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

	return type == GEN_DNS && n > 0 && ASN1_STRING_length(value) == n &&
	       !memcmp(ASN1_STRING_get0_data(value), cn, (size_t)n);
}

static enum hf_est_status check_sans(struct hf_est *x, const struct hf_csr_plan *plan, X509 *cert)
{
	GENERAL_NAMES *want = sans_of_plan(plan),
		      *got = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	enum hf_est_status status = HF_EST_OK;
	char text[160];
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(want) && !status; i++)
		if (!has_name(got, sk_GENERAL_NAME_value(want, i)))
			status = hf_est_fail(
				x, HF_EST_ANSWER,
				"the certificate lacks the subjectAltName %s that was "
				"asked for (tolerate \"san\" accepts that)",
				hf_san_text(sk_GENERAL_NAME_value(want, i), text, sizeof(text)));
	for (i = 0; i < sk_GENERAL_NAME_num(got) && !status; i++) {
		GENERAL_NAME *name = sk_GENERAL_NAME_value(got, i);

		if (has_name(want, name))
			continue;
		if (is_cn(cert, name))
			hf_est_warn(x, "the CA has added the CN as subjectAltName");
		else
			status = hf_est_fail(
				x, HF_EST_ANSWER,
				"the certificate has the subjectAltName %s, which nobody "
				"asked for (tolerate \"san\" accepts that)",
				hf_san_text(name, text, sizeof(text)));
	}
	GENERAL_NAMES_free(want);
	GENERAL_NAMES_free(got);
	return status;
}

/* openssl's CA sorts a subject by its policy: the same attributes are the same name here. */
static bool reordered(X509_NAME *want, X509_NAME *got)
{
	int n = X509_NAME_entry_count(want), i, j;
	uint64_t used = 0;

	if (n != X509_NAME_entry_count(got) || n > 64)
		return false;
	for (i = 0; i < n; i++) {
		X509_NAME_ENTRY *a = X509_NAME_get_entry(want, i), *b;

		for (j = 0; j < n; j++) {
			b = X509_NAME_get_entry(got, j);
			if (!(used >> j & 1) &&
			    !OBJ_cmp(X509_NAME_ENTRY_get_object(a),
				     X509_NAME_ENTRY_get_object(b)) &&
			    !ASN1_STRING_cmp(X509_NAME_ENTRY_get_data(a),
					     X509_NAME_ENTRY_get_data(b)))
				break;
		}
		if (j == n)
			return false;
		used |= UINT64_C(1) << j;
	}
	return true;
}

static enum hf_est_status check_subject(struct hf_est *x, const struct hf_csr_plan *plan,
					X509 *cert)
{
	char name[200];

	if (!X509_NAME_cmp(plan->subject, X509_get_subject_name(cert)))
		return HF_EST_OK;
	if (reordered(plan->subject, X509_get_subject_name(cert))) {
		hf_est_warn(x, "the CA has put the parts of the subject into another order");
		return HF_EST_OK;
	}
	return hf_est_fail(
		x, HF_EST_ANSWER,
		"the certificate is for another subject, %s, than was asked for (tolerate "
		"\"subject\" accepts that)",
		hf_cert_name(cert, name, sizeof(name)));
}

/* ---------------------------------------------------------------- usage */

static bool has_oid(EXTENDED_KEY_USAGE *list, const ASN1_OBJECT *oid)
{
	int i;

	for (i = 0; i < sk_ASN1_OBJECT_num(list); i++)
		if (!OBJ_cmp(sk_ASN1_OBJECT_value(list, i), oid))
			return true;
	return false;
}

static enum hf_est_status check_eku(struct hf_est *x, const struct hf_csr_plan *plan, X509 *cert)
{
	EXTENDED_KEY_USAGE *want = NULL,
			   *got = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	enum hf_est_status status = HF_EST_OK;
	char text[80];
	int i;

	if (plan->exts)
		want = X509V3_get_d2i(plan->exts, NID_ext_key_usage, NULL, NULL);
	if (want && !got)
		hf_est_warn(x, "the CA has left out the extended key usage: any use is allowed");
	for (i = 0; got && i < sk_ASN1_OBJECT_num(want) && !status; i++)
		if (!has_oid(got, sk_ASN1_OBJECT_value(want, i))) {
			(void)hf_oid_text(sk_ASN1_OBJECT_value(want, i), text, sizeof(text));
			status = hf_est_fail(
				x, HF_EST_ANSWER,
				"the certificate lacks the extended key usage '%s' that "
				"was asked for (tolerate \"eku\" accepts that)",
				text);
		}
	for (i = 0; want && i < sk_ASN1_OBJECT_num(got) && !status; i++)
		if (!has_oid(want, sk_ASN1_OBJECT_value(got, i))) {
			(void)hf_oid_text(sk_ASN1_OBJECT_value(got, i), text, sizeof(text));
			hf_est_warn(x, "the CA has added the extended key usage '%s'", text);
		}
	EXTENDED_KEY_USAGE_free(want);
	EXTENDED_KEY_USAGE_free(got);
	return status;
}

/* All that our keys do in a leaf is to sign: a certificate that says otherwise is of no use. */
static enum hf_est_status check_usage(struct hf_est *x, X509 *cert)
{
	if (X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE || x->job->ca)
		return HF_EST_OK;
	return hf_est_fail(x, HF_EST_ANSWER,
			   "the key usage of the certificate does not let its key sign (tolerate "
			   "\"eku\" accepts that)");
}

static enum hf_est_status check_ca(struct hf_est *x, X509 *cert)
{
	uint32_t flags = X509_get_extension_flags(cert), usage = X509_get_key_usage(cert);
	bool ca = (flags & EXFLAG_CA) != 0, signs = (usage & KU_KEY_CERT_SIGN) != 0;
	long pathlen = X509_get_pathlen(cert);

	if (!x->job->ca && (ca || ((flags & EXFLAG_KUSAGE) && signs)))
		return hf_est_fail(x, HF_EST_ANSWER,
				   "the certificate is one of a CA, which nobody asked for");
	if (!x->job->ca)
		return HF_EST_OK;
	if (!ca || !signs)
		return hf_est_fail(
			x, HF_EST_ANSWER,
			"a CA certificate was asked for, and this one may not issue any");
	if (x->job->pathlen >= 0 && pathlen != x->job->pathlen)
		return hf_est_fail(
			x, HF_EST_ANSWER,
			"the path length of the CA certificate is %ld, not %ld (-1: none)", pathlen,
			(long)x->job->pathlen);
	return HF_EST_OK;
}

/* ---------------------------------------------------------------- dates, path, signature */

static enum hf_est_status check_dates(struct hf_est *x, X509 *cert)
{
	time_t late = x->now + 300;

	if (X509_cmp_time(X509_get0_notAfter(cert), &x->now) <= 0)
		return hf_est_fail(x, HF_EST_ANSWER,
				   "the certificate has expired already; is the clock right?");
	if (X509_cmp_time(X509_get0_notBefore(cert), &late) >= 0)
		return hf_est_fail(x, HF_EST_ANSWER,
				   "the certificate is not valid yet; is the clock right?");
	if (x->replaced && !X509_cmp(cert, x->replaced))
		return hf_est_fail(x, HF_EST_ANSWER,
				   "the server has sent the old certificate again, no new one");
	return HF_EST_OK;
}

/* The certificate's key is the one in the token, now: RFC 7030 cannot know, we can. */
static enum hf_est_status check_signature(struct hf_est *x, const struct hf_csr_plan *plan,
					  X509 *cert)
{
	X509_REQ *req;
	enum hf_est_status status = hf_csr_sign(x, plan, NULL, &req);

	if (!status && X509_REQ_verify(req, X509_get0_pubkey(cert)) != 1)
		status = hf_est_fail(x, HF_EST_ANSWER,
				     "what key %s signs does not verify under the certificate",
				     x->job->key);
	X509_REQ_free(req);
	ERR_clear_error();
	return status;
}

/* A CA whose clock is a little ahead issues for a moment that is still to come here. */
static time_t moment(const struct hf_est *x, X509 *cert)
{
	time_t begins;
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notBefore(cert), &tm) != 1)
		return x->now;
	begins = timegm(&tm);
	return begins > x->now ? begins : x->now; /* by no more than check_dates() allows */
}

/* x->issued: the leaf, then its path without the root, which everybody has or must not take. */
static enum hf_est_status check_path(struct hf_est *x, X509 *cert, STACK_OF(X509) * certs)
{
	STACK_OF(X509) *anchors = hf_cacerts_anchors(x), *others = sk_X509_dup(certs),
		       *chain = NULL;
	enum hf_est_status status = HF_EST_OK;
	struct hf_err e = HF_ERR_INIT;
	int i;

	for (i = 0; others && i < sk_X509_num(x->cacerts); i++)
		(void)sk_X509_push(others, sk_X509_value(x->cacerts, i));
	if (!anchors || !others)
		status = hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	else if (hf_certs_verify(cert, anchors, others, moment(x, cert), &chain, &e))
		status = hf_est_fail(x, HF_EST_ANSWER,
				     "the certificate does not lead to the CA of this server: %s",
				     e.msg);
	for (i = 0; i < sk_X509_num(chain) && !status; i++)
		if ((!i || !hf_cert_is_root(sk_X509_value(chain, i))) &&
		    !hf_certs_add(x->issued, sk_X509_value(chain, i)))
			status = hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	hf_certs_free(chain);
	hf_certs_free(anchors);
	sk_X509_free(others);
	return status;
}

enum hf_est_status hf_answer_take(struct hf_est *x, const struct hf_csr_plan *plan,
				  STACK_OF(X509) * certs)
{
	X509 *cert = find(x, certs);
	enum hf_est_status status;

	if (!cert)
		return hf_est_fail(x, HF_EST_ANSWER,
				   "none of the %d certificates that came is for key %s",
				   sk_X509_num(certs), x->job->key);
	status = check_dates(x, cert);
	if (!status && !x->job->any_subject)
		status = check_subject(x, plan, cert);
	if (!status && !x->job->any_san)
		status = check_sans(x, plan, cert);
	if (!status && !x->job->any_eku)
		status = check_eku(x, plan, cert);
	if (!status && !x->job->any_eku)
		status = check_usage(x, cert);
	if (!status)
		status = check_ca(x, cert);
	if (!status)
		status = check_path(x, cert, certs);
	if (!status)
		status = check_signature(x, plan, cert);
	if (status) {
		hf_certs_free(x->issued);
		x->issued = sk_X509_new_null();
	}
	return status;
}
