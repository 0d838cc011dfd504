/* SPDX-License-Identifier: Apache-2.0 */
#include "est/cacerts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "est/base64.h"
#include "est/certs.h"
#include "est/key.h"
#include "est/pkcs7.h"

static enum hf_est_status no_memory(struct hf_est *x)
{
	return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
}

enum hf_est_status hf_cacerts_read(struct hf_est *x, struct hf_http *h, unsigned max,
				   STACK_OF(X509) * out)
{
	HF_AUTO_BUF der = HF_BUF(h->max);
	struct hf_err e = HF_ERR_INIT;
	const char *odd = NULL;
	char type[80];
	bool nul;

	hf_escape(type, sizeof(type), h->type, strlen(h->type));
	if (h->type[0] && !hf_media_type(h->type, "application/pkcs7-mime")) {
		if (!hf_media_type(h->type, "application/x-pkcs7-mime") &&
		    !hf_media_type(h->type, "application/octet-stream"))
			return hf_est_fail(x, HF_EST_PROTOCOL,
					   "the answer is %s, application/pkcs7-mime was due: is "
					   "this an EST server?",
					   type);
		hf_est_warn(x, "the server says %s where it should say application/pkcs7-mime",
			    type);
	}
	if (hf_est_base64_decode(h->body.p, h->body.n, &der, &nul, &e) ||
	    hf_est_pkcs7(HF_VIEW_BUF(&der), max, out, &odd, &e)) {
		ERR_clear_error();
		return hf_est_fail(x, HF_EST_PROTOCOL, "%s", e.msg);
	}
	if (nul)
		hf_est_warn(x, "the server sends NULs after the base64");
	if (odd)
		hf_est_warn(x, "the server %s", odd);
	return HF_EST_OK;
}

/* ---------------------------------------------------------------- which to believe */

/* Is there a certificate of @root's name and key that leads to what is known? NewWithOld. */
static bool linked(X509 *root, STACK_OF(X509) * bundle, STACK_OF(X509) * known, time_t now)
{
	int i;

	for (i = 0; i < sk_X509_num(bundle); i++) {
		X509 *link = sk_X509_value(bundle, i);

		if (X509_cmp(link, root) &&
		    !X509_NAME_cmp(X509_get_subject_name(link), X509_get_subject_name(root)) &&
		    EVP_PKEY_eq(X509_get0_pubkey(link), X509_get0_pubkey(root)) == 1 &&
		    X509_check_ca(link) && !hf_certs_verify(link, known, bundle, now, NULL, NULL))
			return true;
	}
	ERR_clear_error();
	return false;
}

static int later(const X509 *const *a, const X509 *const *b)
{
	return ASN1_TIME_compare(X509_get0_notAfter(*b), X509_get0_notAfter(*a));
}

static bool add_all(STACK_OF(X509) * to, STACK_OF(X509) * from)
{
	int i;

	for (i = 0; i < sk_X509_num(from); i++)
		if (!hf_certs_add(to, sk_X509_value(from, i)))
			return false;
	return true;
}

bool hf_cacerts_choose(STACK_OF(X509) * bundle, STACK_OF(X509) * known, bool authentic, time_t now,
		       STACK_OF(X509) * out, unsigned *dropped)
{
	STACK_OF(X509) *anchors = sk_X509_new_null();
	bool ok = anchors != NULL;
	int i;

	*dropped = 0;
	for (i = 0; ok && i < sk_X509_num(bundle); i++) {
		X509 *cert = sk_X509_value(bundle, i);

		if (!hf_cert_is_root(cert))
			continue;
		if (X509_check_ca(cert) && hf_cert_is_valid(cert, now) &&
		    (authentic || hf_certs_have(known, cert) || linked(cert, bundle, known, now)))
			ok = hf_certs_add(out, cert);
		else
			++*dropped;
	}
	(void)sk_X509_set_cmp_func(out, later);
	sk_X509_sort(out);
	(void)sk_X509_set_cmp_func(out, NULL);
	ok = ok && add_all(anchors, out) && add_all(anchors, known);
	for (i = 0; ok && i < sk_X509_num(bundle); i++) {
		X509 *cert = sk_X509_value(bundle, i);

		if (hf_cert_is_root(cert))
			continue;
		if (X509_check_ca(cert) && !hf_certs_verify(cert, anchors, bundle, now, NULL, NULL))
			ok = hf_certs_add(out, cert);
		else
			++*dropped;
	}
	hf_certs_free(anchors);
	ERR_clear_error();
	return ok;
}

/* What was trusted before this answer. */
static STACK_OF(X509) * known_anchors(const struct hf_est *x)
{
	STACK_OF(X509) *known = sk_X509_new_null();

	if (known && add_all(known, x->pinned) && add_all(known, x->anchors))
		return known;
	hf_certs_free(known);
	return NULL;
}

STACK_OF(X509) * hf_cacerts_anchors(const struct hf_est *x)
{
	STACK_OF(X509) *anchors = known_anchors(x);
	int i;

	for (i = 0; anchors && i < sk_X509_num(x->cacerts); i++)
		if (hf_cert_is_root(sk_X509_value(x->cacerts, i)) &&
		    !hf_certs_add(anchors, sk_X509_value(x->cacerts, i))) {
			hf_certs_free(anchors);
			return NULL;
		}
	return anchors;
}

/* ---------------------------------------------------------------- fetching */

static enum hf_est_status get(struct hf_est *x, STACK_OF(X509) * bundle)
{
	struct hf_http h = { .op = "cacerts", .max = HF_EST_CACERTS_BYTES };
	enum hf_est_status status = hf_http_run(x, &h);
	char words[220];

	if (!status && h.code != 200) { /* RFC 7030, section 4.1.3 */
		bool later_on = h.code == 429 || h.code == 503;

		status = hf_est_fail(x,
				     later_on		 ? HF_EST_BUSY
				     : h.code == 401	 ? HF_EST_AUTH
				     : h.code / 100 == 5 ? HF_EST_SERVER
							 : HF_EST_PROTOCOL,
				     "the server answers %ld%s", h.code,
				     hf_http_words(&h, words, sizeof(words)));
		if (later_on && h.has_retry)
			(void)hf_retry_after(h.retry, x->now, &x->retry_after_s);
	} else if (!status) {
		status = hf_cacerts_read(x, &h, HF_EST_CERTS_MAX, bundle);
	}
	if (status && strncmp(x->err.msg, "GET ", 4))
		status = hf_est_within(x, status, "GET %s%s/cacerts", x->url.origin, x->url.path);
	hf_http_finish(&h);
	return status;
}

/* The fingerprint is all we have: the server may tell which certificate that is, nothing else. */
static enum hf_est_status bootstrap(struct hf_est *x, STACK_OF(X509) * bundle)
{
	enum hf_est_status status;
	uint8_t sha256[32];
	int i;

	x->bootstrap = true;
	status = get(x, bundle);
	x->bootstrap = false;
	/* Either way the next request is made on a connection of its own, and verified. */
	hf_http_reset(x);
	if (status || sk_X509_num(x->pinned))
		return status;
	for (i = 0; i < sk_X509_num(bundle); i++) {
		X509 *cert = sk_X509_value(bundle, i);

		if (hf_cert_sha256(cert, sha256) &&
		    hf_mem_equal(sha256, x->job->sha256, sizeof(sha256)))
			return hf_certs_add(x->pinned, cert) ? HF_EST_OK : no_memory(x);
	}
	return hf_est_fail(
		x, HF_EST_TLS,
		"%s has no CA certificate with the SHA-256 fingerprint that was given: is "
		"it the right server, and the fingerprint that of its CA certificate?",
		x->url.origin);
}

static bool any_new_root(struct hf_est *x)
{
	int i;

	for (i = 0; i < sk_X509_num(x->cacerts); i++) {
		X509 *cert = sk_X509_value(x->cacerts, i);

		if (hf_cert_is_root(cert) && !hf_certs_have(x->anchors, cert) &&
		    !hf_certs_have(x->pinned, cert))
			return true;
	}
	return false;
}

/* What was trusted stays so till it ends: the server itself may still be certified by it. */
static bool keep(struct hf_est *x, STACK_OF(X509) * known)
{
	int i;

	for (i = 0; i < sk_X509_num(known); i++) {
		X509 *cert = sk_X509_value(known, i);

		if (X509_check_ca(cert) && hf_cert_is_valid(cert, x->now) &&
		    !hf_certs_add(x->cacerts, cert))
			return false;
	}
	return true;
}

static enum hf_est_status judge(struct hf_est *x, STACK_OF(X509) * bundle)
{
	STACK_OF(X509) *known = known_anchors(x);
	/* The system's store says that it is this host, not that the host may change our roots. */
	bool authentic = x->tls.explicit_anchor || !sk_X509_num(x->anchors), ok, any;
	unsigned dropped = 0;

	if (!known)
		return no_memory(x);
	ok = hf_cacerts_choose(bundle, known, authentic, x->now, x->cacerts, &dropped);
	any = sk_X509_num(x->cacerts) > 0;
	ok = ok && keep(x, known);
	hf_certs_free(known);
	if (!ok)
		return no_memory(x);
	if (!any)
		return hf_est_fail(
			x, HF_EST_TLS,
			"%s sends CA certificates, and none of them can be believed: they "
			"have expired, or are linked to nothing that is trusted already",
			x->url.origin);
	if (dropped)
		hf_est_warn(
			x,
			"%u of the CA certificates that %s sends are left out: expired, not yet "
			"valid, or linked to nothing that is trusted",
			dropped, x->url.origin);
	x->cacerts_changed = any_new_root(x);
	return HF_EST_OK;
}

enum hf_est_status hf_cacerts_fetch(struct hf_est *x)
{
	STACK_OF(X509) *bundle = sk_X509_new_null();
	enum hf_est_status status = bundle ? HF_EST_OK : no_memory(x);

	if (!status && x->job->trust == HF_EST_FINGERPRINT && !sk_X509_num(x->pinned)) {
		status = bootstrap(x, bundle);
		hf_certs_free(bundle);
		bundle = sk_X509_new_null();
	}
	if (!status)
		status = bundle ? get(x, bundle) : no_memory(x);
	if (!status)
		status = judge(x, bundle);
	hf_certs_free(bundle);
	return status;
}
