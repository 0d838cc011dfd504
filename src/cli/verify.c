/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast key verify: for who is shown an attestation. Needs neither a TPM nor a broker. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "base/file.h"
#include "cli/attest.h"
#include "cli/attested.h"
#include "cli/certview.h"
#include "cli/output.h"

const struct hf_option hf_key_verify_options[] = {
	{ "nonce", "HEX", "that it was asked for with; else whether it is a new one stays open" },
	{ "nonce-file", "FILE", "the same as bytes" },
	{ "trust", "FILE", "PEM of the CAs that one believes about TPMs" },
	{ "ek-out", "FILE", "write the TPM's endorsement key to FILE, for tpm2_makecredential" },
	{ NULL, NULL, NULL },
};

/* Whatever is in the file is believed, also a CA that is no root. */
static enum hf_rc check_chain(X509 *cert, const char *path, struct hf_err *e)
{
	STACK_OF(X509) *cas = NULL;
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int i;

	if (!cert)
		(void)hf_fail(e, HF_FAILED,
			      "the TPM has no certificate that --trust could be asked about");
	else if (hf_certview_read(path, &cas, e))
		(void)hf_within(e, "--trust");
	else if (!store || !ctx || !X509_STORE_CTX_init(ctx, store, cert, cas))
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (!e->rc) {
		for (i = 0; i < sk_X509_num(cas); i++)
			(void)X509_STORE_add_cert(store, sk_X509_value(cas, i));
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
		if (X509_verify_cert(ctx) != 1)
			(void)hf_fail(e, HF_FAILED,
				      "the certificate of the TPM is not of a CA in %s: %s", path,
				      X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	hf_certview_free(cas);
	return e->rc;
}

static enum hf_rc check_nonce(const struct hf_attested *a, const struct hf_buf *nonce,
			      struct hf_err *e)
{
	if (!nonce->n || (nonce->n == a->nonce.n && hf_mem_equal(nonce->p, a->nonce.p, nonce->n)))
		return HF_OK;
	return hf_fail(e, HF_FAILED,
		       "it was made for another nonce: an old one, or somebody else's");
}

static void tell(struct hf_cli *c, const struct hf_attested *a, bool new, bool believed)
{
	const struct hf_buf *spki = &a->part[HF_ATTESTED_SPKI];
	uint8_t hash[32];
	const char *cert = !a->ek_certificate ? "none" : believed ? "verified" : "not verified";
	const char *nonce = new ? "verified" : "not verified";

	hf_out_text(c->result, "name", a->name);
	if (EVP_Q_digest(NULL, "SHA256", NULL, spki->p, spki->n, hash, NULL))
		hf_out_hex(c->result, "sha256", hash, sizeof(hash));
	hf_out_text(c->result, "nonce", nonce);
	hf_out_text(c->result, "ek_certificate", cert);
	hf_out_hex(c->result, "key_name", a->key_name, sizeof(a->key_name));
	hf_out_hex(c->result, "ak_name", a->ak_name, sizeof(a->ak_name));
	hf_out_hex(c->result, "ek_name", a->ek_name, sizeof(a->ek_name));
	hf_out_line(c,
		    "the key %s, SHA-256 %s,\n"
		    "was made by the TPM that has the attestation key\n%s\n"
		    "nonce: %s; certificate of its endorsement key: %s\n"
		    "that both keys are in one TPM is for an activation to show: see "
		    "'holdfast token activate'",
		    a->name, hf_out_get(c->result, "sha256"), hf_out_get(c->result, "ak_name"),
		    nonce, cert);
}

enum hf_rc hf_key_verify(struct hf_cli *c, struct hf_err *e)
{
	const char *ca = hf_cli_option(c, "trust"), *ek = hf_cli_option(c, "ek-out");
	HF_AUTO_BUF text = HF_BUF(HF_ATTESTED_MAX);
	HF_AUTO_BUF nonce = HF_BUF(32);
	struct hf_attested a;
	enum hf_rc rc;

	if (hf_attest_nonce(c, &nonce, e) || hf_file_read(c->words[0], false, &text, e))
		return e->rc;
	hf_attested_init(&a);
	rc = hf_attested_read(&a, HF_VIEW_BUF(&text), e);
	if (!rc)
		rc = hf_attested_verify(&a, e);
	if (!rc)
		rc = check_nonce(&a, &nonce, e);
	if (!rc && ca)
		rc = check_chain(a.ek_certificate, ca, e);
	if (!rc && ek)
		rc = hf_out_file(ek, a.part[HF_ATTESTED_EK].p, a.part[HF_ATTESTED_EK].n, e);
	if (!rc)
		tell(c, &a, nonce.n, ca);
	hf_attested_finish(&a);
	return rc ? hf_within(e, "%s", c->words[0]) : HF_OK;
}
