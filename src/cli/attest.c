/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast key attest, token activate: what is asked of a TPM by somebody who does not know it. */
#include "cli/attest.h"

#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/file.h"
#include "base/rd.h"
#include "cli/attested.h"
#include "cli/certview.h"
#include "cli/output.h"
#include "cli/session.h"

#define NONCE_MIN 8u
#define NONCE_MAX 32u

const struct hf_option hf_key_attest_options[] = {
	{ "nonce", "HEX", "8 to 32 bytes that whoever will verify it has chosen, in hex" },
	{ "nonce-file", "FILE", "the same as bytes" },
	{ "out", "FILE", "write to FILE instead of standard output" },
	{ NULL, NULL, NULL },
};

const struct hf_option hf_token_activate_options[] = {
	{ "token", "TOKEN", "token that it was made for (else the default token)" },
	{ "out", "FILE", "write the secret to FILE, as it is, instead of hex to standard output" },
	{ NULL, NULL, NULL },
};

enum hf_rc hf_attest_nonce(const struct hf_cli *c, struct hf_buf *out, struct hf_err *e)
{
	const char *hex = hf_cli_option(c, "nonce"), *path = hf_cli_option(c, "nonce-file");
	uint8_t bytes[NONCE_MAX];
	size_t n = hex ? strlen(hex) / 2 : 0;

	if (hex && path)
		return hf_fail(e, HF_ARGUMENT, "give --nonce or --nonce-file, not both");
	if (!hex && !path)
		return HF_OK;
	if (hex && (n > sizeof(bytes) || !hf_unhex(bytes, n, hex)))
		return hf_fail(e, HF_ARGUMENT, "--nonce: not 8 to 32 bytes in hex");
	hf_buf_add(out, bytes, n);
	if (path && hf_file_read(path, false, out, e))
		return e->rc == HF_CORRUPT ? hf_fail(e, HF_ARGUMENT,
						     "--nonce-file %s: more than 32 bytes; hash it "
						     "with SHA-256 first",
						     path)
					   : e->rc;
	return out->n < NONCE_MIN ? hf_fail(e, HF_ARGUMENT,
					    "the nonce has %zu bytes; it takes 8 to be one that "
					    "nobody guesses",
					    out->n)
				  : HF_OK;
}

/* docs/guides/attestation.md says what each member is. */
static enum hf_rc put_document(json_object *o, const hf_KeyInfo *key, const struct hf_buf *nonce,
			       const hf_Attestation *a, struct hf_err *e)
{
	const struct hf_view parts[HF_ATTESTED_PARTS] = {
		[HF_ATTESTED_SPKI] = { key->spki.bytes, key->spki.size },
		[HF_ATTESTED_STATEMENT] = { a->statement.bytes, a->statement.size },
		[HF_ATTESTED_SIGNATURE] = { a->signature.bytes, a->signature.size },
		[HF_ATTESTED_CREATION_DATA] = { a->creation_data.bytes, a->creation_data.size },
		[HF_ATTESTED_KEY] = { a->key_public.bytes, a->key_public.size },
		[HF_ATTESTED_AK] = { a->ak_public.bytes, a->ak_public.size },
		[HF_ATTESTED_EK] = { a->ek_public.bytes, a->ek_public.size },
	};
	const unsigned char *p = a->ek_certificate.bytes;
	HF_AUTO_BUF pem = HF_BUF(16384);
	X509 *cert = NULL;
	size_t i;

	hf_out_text(o, "attestation", HF_ATTESTED_VERSION);
	hf_out_text(o, "name", key->name);
	hf_out_hex(o, "nonce", nonce->p, nonce->n);
	for (i = 0; i < HF_ATTESTED_PARTS; i++)
		hf_out_base64(o, hf_attested_names[i], parts[i].p, parts[i].n);
	if (a->ek_certificate.size) {
		cert = d2i_X509(NULL, &p, a->ek_certificate.size);
		if (!cert)
			return hf_fail(e, HF_CORRUPT,
				       "key %s: the certificate in the TPM is damaged", key->name);
		hf_certview_pem(cert, &pem);
		X509_free(cert);
	}
	hf_out_text(o, "ek_certificate", pem.n && !pem.bad ? (const char *)pem.p : "");
	return HF_OK;
}

static enum hf_rc deliver(struct hf_cli *c, struct hf_err *e)
{
	const char *out = hf_cli_option(c, "out");
	HF_AUTO_BUF text = HF_BUF(HF_ATTESTED_MAX);

	hf_buf_str(&text, json_object_to_json_string_ext(
				  c->result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						     JSON_C_TO_STRING_NOSLASHESCAPE));
	hf_buf_str(&text, "\n");
	if (text.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (out && strcmp(out, "-")) {
		if (hf_out_file(out, text.p, text.n, e))
			return e->rc;
		hf_out_text(c->result, "file", out);
	} else if (!c->json) {
		hf_out_text(c->result, "text", (const char *)text.p);
	}
	return HF_OK;
}

enum hf_rc hf_key_attest(struct hf_cli *c, struct hf_err *e)
{
	HF_AUTO_BUF nonce = HF_BUF(NONCE_MAX);
	hf_KeyAttest *q;
	hf_KeyInfo key;

	if (hf_attest_nonce(c, &nonce, e) || hf_session_get(c, c->words[0], e))
		return e->rc;
	key = c->session->rep.result.key;
	q = &c->session->req.op.key_attest;
	c->session->req.which_op = hf_Request_key_attest_tag;
	q->has_key = true;
	(void)hf_copy(q->key.name, sizeof(q->key.name), key.name);
	(void)HF_PB_SET(q->key.spki_sha256, key.spki_sha256.bytes, key.spki_sha256.size);
	(void)HF_PB_SET(q->nonce, nonce.p, nonce.n);
	c->session->doing = "the TPM is making its endorsement key...";
	if (hf_session_call(c, HF_CREATE_MS, hf_Reply_attestation_tag, e))
		return hf_session_about(e, key.name);
	if (put_document(c->result, &key, &nonce, &c->session->rep.result.attestation, e))
		return e->rc;
	return deliver(c, e);
}

/* ---- activation */

/* As tpm2_makecredential of tpm2-tools writes it: a magic number, a version, two TPM2Bs. */
static enum hf_rc read_credential(const char *path, hf_TokenActivate *q, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(4096);
	struct hf_view credential, seed;
	struct hf_rd r;

	if (hf_file_read(path, false, &file, e))
		return e->rc;
	r = (struct hf_rd){ file.p, file.n, false };
	if (hf_rd32(&r) != 0xbadcc0deu || hf_rd32(&r) != 1)
		return hf_fail(e, HF_ARGUMENT,
			       "%s is no credential as tpm2_makecredential writes it", path);
	credential = hf_rd_2b(&r);
	seed = hf_rd_2b(&r);
	if (!hf_rd_end(&r) || !credential.n || !seed.n ||
	    !HF_PB_SET(q->credential, credential.p - 2, credential.n + 2) ||
	    !HF_PB_SET(q->seed, seed.p - 2, seed.n + 2))
		return hf_fail(e, HF_ARGUMENT, "%s is damaged, or was made for another kind of TPM",
			       path);
	return HF_OK;
}

enum hf_rc hf_token_activate(struct hf_cli *c, struct hf_err *e)
{
	const char *token = hf_cli_option(c, "token"), *out = hf_cli_option(c, "out");
	hf_TokenActivate *q;
	hf_Secret *s;

	if (hf_session_open(c, e))
		return e->rc;
	q = &c->session->req.op.token_activate;
	if (token && !hf_copy(q->token, sizeof(q->token), token))
		return hf_fail(e, HF_ARGUMENT, "--token %.40s... is too long for a name", token);
	if (read_credential(c->words[0], q, e))
		return e->rc;
	c->session->req.which_op = hf_Request_token_activate_tag;
	c->session->doing = "the TPM is making its endorsement key...";
	if (hf_session_call(c, HF_CREATE_MS, hf_Reply_secret_tag, e))
		return hf_within(e, "%s", c->words[0]);
	s = &c->session->rep.result.secret;
	if (out && strcmp(out, "-")) {
		hf_out_text(c->result, "file", out);
		(void)hf_file_replace(out, s->data.bytes, s->data.size, 0600, e);
	} else {
		hf_out_hex(c->result, "secret", s->data.bytes, s->data.size);
		hf_out_line(c, "%s", hf_out_get(c->result, "secret"));
	}
	explicit_bzero(&s->data, sizeof(s->data));
	return e->rc;
}
