/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent gets from modules and finds on its disk: requests for certificates, names of
 * modules, agent.json, its records. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "agent/module.h"
#include "agent/settings.h"
#include "fuzz.h"

#define NOW 1800000000 /* 2027-01-15 */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The CA of all: made once, with its key in memory. */
static const struct hf_module_issuer *issuer(void)
{
	static struct hf_module_issuer by;
	struct hf_err e = HF_ERR_INIT;
	struct hf_issue i = { .ca = true, .pathlen = 0, .days = 90, .now = NOW };

	if (by.cert)
		return &by;
	i.key = EVP_EC_gen("P-256");
	i.subject = X509_NAME_new();
	if (!i.key || !i.subject ||
	    !X509_NAME_add_entry_by_txt(i.subject, "CN", MBSTRING_ASC,
					(const unsigned char *)"edge ca", -1, -1, 0))
		abort();
	by = (struct hf_module_issuer){ .key = i.key, .days = 30, .now = NOW };
	by.cert = hf_issue(&i, &e);
	X509_NAME_free(i.subject);
	if (!by.cert)
		abort();
	return &by;
}

/* Whatever was asked for: signed by the CA, for nobody who is a CA, and not longer than it. */
static void judge(X509 *x, const struct hf_module_issuer *by)
{
	if (X509_check_ca(x) || X509_check_issued(by->cert, x) != X509_V_OK ||
	    X509_verify(x, by->key) != 1 ||
	    ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(by->cert)) > 0)
		abort();
}

static void fuzz_csr(const char *text, size_t n)
{
	struct hf_err e = HF_ERR_INIT;
	X509_REQ *csr = NULL;
	X509 *x;

	(void)n;
	if (hf_module_csr_read(text, NULL, &csr, &e))
		return;
	x = hf_module_sign(csr, issuer(), &e);
	if (x)
		judge(x, issuer());
	X509_free(x);
	X509_REQ_free(csr);
}

/* Three names with newlines between them. */
static void fuzz_module(const char *text, size_t n)
{
	static const struct hf_module_device device = { "hub.example", "device-1" };
	struct hf_module m = { .server = n % 2 };
	char *const to[] = { m.id, m.generation, m.common_name };
	struct hf_err e = HF_ERR_INIT;
	size_t i, len;
	X509 *x;

	for (i = 0; i < HF_COUNT(to) && *text; i++) {
		len = strcspn(text, "\n");
		if (len >= HF_MODULE_NAME_MAX)
			return;
		memcpy(to[i], text, len);
		text += len + (text[len] != '\0');
	}
	if (hf_module_check(&m, &e))
		return;
	x = hf_module_issue(&m, &device, issuer()->key, issuer(), &e);
	if (x)
		judge(x, issuer());
	X509_free(x);
}

static void fuzz_settings(const char *text, size_t n)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_agent_settings *s = hf_agent_settings_parse(text, n, "input", &e);

	if (!s && !e.msg[0])
		abort(); /* refused, and nobody knows why */
	hf_agent_settings_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const readers[])(const char *, size_t) = {
		fuzz_csr,
		fuzz_module,
		fuzz_settings,
	};
	char *copy;

	if (!n)
		return 0;
	copy = fuzz_input(p, n, true);
	readers[p[0] % HF_COUNT(readers)](copy, n - 1);
	ERR_clear_error();
	free(copy);
	return 0;
}
