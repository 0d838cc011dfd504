/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that holdfast-est parses of what strangers send, and the job. The first byte chooses the
 * parser. tests/fuzz/replay.c runs it where there is no libFuzzer.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "est/base64.h"
#include "est/cacerts.h"
#include "est/certs.h"
#include "est/csrattrs.h"
#include "est/header.h"
#include "est/job.h"
#include "est/names.h"
#include "est/pkcs7.h"
#include "est/url.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void fuzz_base64(const uint8_t *p, size_t n, const char *text)
{
	HF_AUTO_BUF out = HF_BUF(65536);
	struct hf_err e = HF_ERR_INIT;
	bool nul;

	(void)text;
	if (!hf_est_base64_decode(p, n, &out, &nul, &e) && out.n > n)
		abort();
}

static void fuzz_pkcs7(const uint8_t *p, size_t n, const char *text)
{
	STACK_OF(X509) *certs = sk_X509_new_null(), *out = sk_X509_new_null(),
		       *known = sk_X509_new_null();
	struct hf_err e = HF_ERR_INIT;
	const char *odd;
	unsigned dropped;
	char name[80];

	(void)text;
	if (certs && out && known && !hf_est_pkcs7((struct hf_view){ p, n }, 4, certs, &odd, &e)) {
		if (!sk_X509_num(certs) || sk_X509_num(certs) > 4)
			abort();
		(void)hf_cacerts_choose(certs, known, true, 1800000000, out, &dropped);
		(void)hf_cert_name(sk_X509_value(certs, 0), name, sizeof(name));
	}
	hf_certs_free(certs);
	hf_certs_free(out);
	hf_certs_free(known);
}

static void fuzz_csrattrs(const uint8_t *p, size_t n, const char *text)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_csrattrs a;

	(void)text;
	(void)hf_csrattrs_read(&a, (struct hf_view){ p, n }, &e);
	if (a.n_exts > HF_CSRATTRS_EXTS_MAX || a.n_rdns > HF_CSRATTRS_RDNS_MAX)
		abort();
	hf_csrattrs_finish(&a);
}

static void fuzz_header(const uint8_t *p, size_t n, const char *text)
{
	HF_AUTO_BUF out = HF_BUF(16384);
	struct hf_challenge c = { 0 };
	struct hf_err e = HF_ERR_INIT;
	uint32_t seconds;

	(void)p;
	(void)n;
	(void)hf_media_type(text, "application/pkcs7-mime");
	(void)hf_retry_after(text, 1800000000, &seconds);
	if (seconds < HF_RETRY_MIN || seconds > HF_RETRY_MAX)
		abort();
	hf_challenge_add(&c, text);
	if (c.digest && !hf_digest_answer(&c, "user", "password", "GET", "/", "0", &out, &e) &&
	    strpbrk((char *)out.p, "\r\n") && !strpbrk(text, "\r\n"))
		abort();
}

static void fuzz_url(const uint8_t *p, size_t n, const char *text)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_url url;
	char out[HF_URL_MAX];

	(void)p;
	(void)n;
	if (!hf_est_url_parse(text, &url, &e))
		hf_est_url_op(&url, "cacerts", out);
	if (hf_est_url_parse("https://a.example:8443", &url, &e))
		abort();
	/* whatever it says, it leads to this origin or nowhere */
	if (!hf_est_url_redirect(&url, "https://a.example:8443/x", text, out, &e) &&
	    strncmp(out, "https://a.example:8443/", 23))
		abort();
}

static void fuzz_job(const uint8_t *p, size_t n, const char *text)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_est_job job;

	(void)text;
	(void)hf_est_job_read(&job, p, n, &e);
	hf_est_job_finish(&job);
}

static void fuzz_names(const uint8_t *p, size_t n, const char *text)
{
	struct hf_err e = HF_ERR_INIT;
	GENERAL_NAMES *sans = NULL;
	X509_NAME *name = NULL;

	(void)p;
	(void)n;
	(void)hf_name_read(text, &name, &e);
	(void)hf_sans_read(&text, 1, &sans, &e);
	X509_NAME_free(name);
	GENERAL_NAMES_free(sans);
}

static void fuzz_pem(const uint8_t *p, size_t n, const char *text)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	struct hf_err e = HF_ERR_INIT;

	(void)p;
	(void)n;
	if (certs)
		(void)hf_certs_read(text, 4, certs, &e);
	hf_certs_free(certs);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const parsers[])(const uint8_t *, size_t, const char *) = {
		fuzz_base64, fuzz_pkcs7, fuzz_csrattrs, fuzz_header,
		fuzz_url,    fuzz_job,	 fuzz_names,	fuzz_pem,
	};
	uint8_t *copy;

	if (!n)
		return 0;
	copy = fuzz_input(p, n, true);
	parsers[p[0] % HF_COUNT(parsers)](copy, n - 1, (const char *)copy);
	ERR_clear_error();
	free(copy);
	return 0;
}
