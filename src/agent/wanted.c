/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wanted.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "agent/issue.h"
#include "est/certs.h"

static enum hf_rc check_chain(STACK_OF(X509) * list, struct hf_err *e)
{
	char name[160];
	bool good;
	int i;

	for (i = 1; i < sk_X509_num(list); i++) {
		X509 *cert = sk_X509_value(list, i - 1), *issuer = sk_X509_value(list, i);

		good = X509_check_issued(issuer, cert) == X509_V_OK &&
		       X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
		ERR_clear_error();
		if (!good)
			return hf_fail(e, HF_REFUSED,
				       "with the certificate came %s, which has not issued the one "
				       "before it",
				       hf_cert_name(issuer, name, sizeof(name)));
	}
	return HF_OK;
}

static bool has_names(X509 *cert, GENERAL_NAMES *want)
{
	GENERAL_NAMES *got = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int n = sk_GENERAL_NAME_num(want), i;
	bool same = (n > 0 ? n : 0) == (got ? sk_GENERAL_NAME_num(got) : 0);

	for (i = 0; same && i < n; i++)
		same = !GENERAL_NAME_cmp(sk_GENERAL_NAME_value(want, i),
					 sk_GENERAL_NAME_value(got, i));
	GENERAL_NAMES_free(got);
	return same;
}

static enum hf_rc check_names(const struct hf_credential_conf *c, X509 *leaf, struct hf_err *e)
{
	X509_NAME *subject = hf_issue_subject(c, e);
	GENERAL_NAMES *sans = NULL;
	char name[160];
	enum hf_rc rc = subject ? hf_issue_sans(c, &sans, e) : e->rc;

	if (!rc && X509_NAME_cmp(subject, X509_get_subject_name(leaf)))
		rc = hf_fail(e, HF_REFUSED, "the certificate that came is for another subject, %s",
			     hf_cert_name(leaf, name, sizeof(name)));
	if (!rc && !has_names(leaf, sans))
		rc = hf_fail(e, HF_REFUSED,
			     "the certificate that came has not the subjectAltNames (sans) of the "
			     "configuration");
	GENERAL_NAMES_free(sans);
	X509_NAME_free(subject);
	return rc;
}

/* The hub knows the device by it. */
static enum hf_rc check_device(const struct hf_credential_conf *c, X509 *leaf, struct hf_err *e)
{
	char cn[256] = "";
	size_t i;

	(void)X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, cn,
					sizeof(cn));
	for (i = 0; i < c->n_subject; i++)
		if (!strcmp(c->subject[i][0], "CN") && strcmp(c->subject[i][1], cn) != 0)
			return hf_fail(e, HF_REFUSED,
				       "the certificate that came has another common name than the "
				       "device, %s: the hub would refuse it",
				       c->subject[i][1]);
	return HF_OK;
}

enum hf_rc hf_wanted_check(const struct hf_credential_conf *c, STACK_OF(X509) * list,
			   struct hf_err *e)
{
	X509 *leaf = sk_X509_value(list, 0);
	enum hf_rc rc = check_chain(list, e);

	if (!rc && c->ca && c->pathlen >= 0 && X509_get_pathlen(leaf) != c->pathlen)
		rc = hf_fail(e, HF_REFUSED,
			     "the certificate that came has the path length %ld, not %lld (-1: "
			     "none)",
			     X509_get_pathlen(leaf), (long long)c->pathlen);
	if (!rc && strcmp(c->method, "est") != 0)
		rc = check_names(c, leaf, e);
	else if (!rc && !strcmp(c->role, "device_id"))
		rc = check_device(c, leaf, e);
	return rc;
}
