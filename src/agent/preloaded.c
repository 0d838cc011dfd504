/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/preloaded.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "est/certs.h"

static enum hf_rc check_dates(X509 *cert, const char *which, int64_t now, struct hf_err *e)
{
	if (hf_cert_is_valid(cert, (time_t)now))
		return HF_OK;
	if (hf_time_of(X509_get0_notAfter(cert)) > now)
		return hf_fail(e, HF_REFUSED, "%s is not valid yet: is the clock right?", which);
	return hf_fail(e, HF_REFUSED, "%s has ended", which);
}

/* RFC 5280, 4.2.1.3 and 4.2.1.9; X509_check_ca() alone takes one without keyUsage for a CA. */
static enum hf_rc check_ca(X509 *cert, const char *which, struct hf_err *e)
{
	if (X509_check_ca(cert) != 1)
		return hf_fail(e, HF_REFUSED, "%s is not a CA's certificate", which);
	if (X509_get_key_usage(cert) == UINT32_MAX ||
	    !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
		return hf_fail(e, HF_REFUSED,
			       "%s is not a CA's certificate: its keyUsage lacks keyCertSign",
			       which);
	return HF_OK;
}

static bool issued_by(X509 *cert, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	bool yes =
		key && X509_check_issued(issuer, cert) == X509_V_OK && X509_verify(cert, key) == 1;

	ERR_clear_error();
	return yes;
}

/* Leaf, its issuer, that one's issuer… */
static enum hf_rc check_chain(const struct hf_held *h, int64_t now, struct hf_err *e)
{
	X509 *below = h->leaf;
	char name[160];
	int i;

	for (i = 0; i < sk_X509_num(h->others); i++) {
		X509 *cert = sk_X509_value(h->others, i);

		(void)hf_cert_name(cert, name, sizeof(name));
		if (!issued_by(below, cert))
			return hf_fail(e, HF_REFUSED,
				       "%s follows in the file, and has not issued the one before; "
				       "'holdfast convert' puts them in order",
				       name);
		if (check_dates(cert, name, now, e))
			return HF_REFUSED;
		below = cert;
	}
	return HF_OK;
}

enum hf_rc hf_preloaded_check(const struct hf_credential *c, int64_t now, struct hf_err *e)
{
	const struct hf_held *h = &c->held;
	enum hf_rc rc;

	if (!h->leaf)
		return hf_fail(e, HF_REFUSED, "%s",
			       h->error[0] ? h->error : "there is no such file");
	rc = check_dates(h->leaf, "it", now, e);
	if (!rc && c->conf->ca)
		rc = check_ca(h->leaf, "it", e);
	return rc || !c->conf->key.name[0] ? rc : check_chain(h, now, e);
}
