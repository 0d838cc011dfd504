/* SPDX-License-Identifier: Apache-2.0 */
/* Pure: bytes in, bytes out; the TPM decides whether the key is any good. */
#include "keeper/keyfile.h"

#include <openssl/evp.h>
#include <string.h>

#include "keeper/der.h"

#define BEGIN "-----BEGIN TSS2 PRIVATE KEY-----"
#define END   "-----END TSS2 PRIVATE KEY-----"
#define LINE  64u

/* 2.23.133.10.1.3: a key that TPM2_Load() takes; .4 importable and .5 sealed differ in the last
 * arc. */
static const uint8_t oid_loadable[] = { 0x67, 0x81, 0x05, 0x0a, 0x01, 0x03 };
static const uint8_t oid_importable[] = { 0x67, 0x81, 0x05, 0x0a, 0x01, 0x04 };

/* The optional elements before `parent`, by their context tag. */
enum {
	EMPTY_AUTH = 0,
	POLICY = 1,
	SECRET = 2,
	AUTH_POLICY = 3,
	DESCRIPTION = 4,
	RSA_PARENT = 5,
	PARENT_NAME = 6
};

static enum hf_rc true_or_false(struct hf_view body, bool *out, struct hf_err *e)
{
	struct hf_view v;

	/* tpm2-openssl 1.1.1 writes TRUE as 0x01, which is BER: any byte but 0 counts. */
	if (!hf_der_take(&body, HF_DER_BOOLEAN, &v) || v.n != 1 || body.n)
		return hf_fail(e, HF_CORRUPT, "key file: a BOOLEAN is malformed");
	*out = v.p[0] != 0;
	return HF_OK;
}

/* A TPM2B: two bytes of size, and that many. */
static bool sized(struct hf_view v)
{
	return v.n > 2 && (size_t)(v.p[0] << 8 | v.p[1]) == v.n - 2;
}

static enum hf_rc read_option(const struct hf_der *d, struct hf_keyfile *out, struct hf_err *e)
{
	struct hf_view body = d->body;

	switch (d->tag - HF_DER_CONTEXT) {
	case EMPTY_AUTH:
		return true_or_false(d->body, &out->empty_auth, e);
	case POLICY:
	case AUTH_POLICY:
		return hf_fail(e, HF_UNSUPPORTED,
			       "key file: the key is bound to a policy; "
			       "holdfast uses keys without one");
	case SECRET:
		if (!hf_der_take(&body, HF_DER_OCTET_STRING, &out->secret) || body.n ||
		    !sized(out->secret))
			return hf_fail(e, HF_CORRUPT, "key file: its secret is malformed");
		return HF_OK;
	case RSA_PARENT:
		return true_or_false(d->body, &out->rsa_parent, e);
	case PARENT_NAME:
		/* Proposed, not in the draft yet: another type means something else. */
		if (!hf_der_take(&body, HF_DER_OCTET_STRING, &out->parent_name) || body.n)
			out->parent_name = (struct hf_view){ NULL, 0 };
		return HF_OK;
	default:
		return HF_OK; /* a description, or something younger than this program */
	}
}

/*
 * Handles above 2^31 are found as positive five-byte and as negative four-byte
 * INTEGERs in files of different tools.
 */
static bool read_parent(struct hf_view v, uint32_t *parent)
{
	size_t i;

	if (!v.n || v.n > 5 || (v.n == 5 && v.p[0]) || (v.n < 4 && (v.p[0] & 0x80)))
		return false;
	for (*parent = 0, i = 0; i < v.n; i++)
		*parent = *parent << 8 | v.p[i];
	if (!*parent)
		*parent = 0x40000001; /* old files say 0 and mean the owner */
	return true;
}

static bool is_oid(struct hf_view oid, const uint8_t want[6])
{
	return oid.n == 6 && !memcmp(oid.p, want, 6);
}

static enum hf_rc read_der(struct hf_view in, struct hf_keyfile *out, struct hf_err *e)
{
	struct hf_view seq, oid, parent;
	bool importable;
	int last = -1;

	if (!hf_der_take(&in, HF_DER_SEQUENCE, &seq) || in.n ||
	    !hf_der_take(&seq, HF_DER_OID, &oid))
		return hf_fail(e, HF_CORRUPT, "key file: not a TSS2 private key, or cut short");
	importable = is_oid(oid, oid_importable);
	if (!importable && !is_oid(oid, oid_loadable))
		return hf_fail(e, HF_UNSUPPORTED, "key file: not a loadable key (2.23.133.10.1.3)");
	while (seq.n && (seq.p[0] & 0xe0) == HF_DER_CONTEXT) {
		struct hf_der d;

		if (!hf_der_next(&seq, &d) || d.tag <= last)
			return hf_fail(e, HF_CORRUPT, "key file: its optional part is malformed");
		last = d.tag;
		if (read_option(&d, out, e))
			return e ? e->rc : HF_CORRUPT;
	}
	if (!hf_der_take(&seq, HF_DER_INTEGER, &parent) || !read_parent(parent, &out->parent))
		return hf_fail(e, HF_CORRUPT, "key file: its parent is malformed");
	if (!hf_der_take(&seq, HF_DER_OCTET_STRING, &out->pub) || !sized(out->pub) ||
	    !hf_der_take(&seq, HF_DER_OCTET_STRING, &out->priv) || !sized(out->priv) || seq.n)
		return hf_fail(e, HF_CORRUPT, "key file: its key is malformed");
	if (importable != (out->secret.n != 0))
		return hf_fail(e, HF_CORRUPT,
			       "key file: a secret without an importable key, or "
			       "an importable key without its secret");
	return HF_OK;
}

static bool space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const uint8_t *find(struct hf_view in, const char *text)
{
	return in.n ? memmem(in.p, in.n, text, strlen(text)) : NULL;
}

/* The label's base64 to @der. Not PEM_read_bio(): that one takes headers and other labels. */
static enum hf_rc read_pem(struct hf_view in, const uint8_t *begin, struct hf_buf *der,
			   struct hf_err *e)
{
	struct hf_view body = { begin + strlen(BEGIN), 0 };
	uint8_t quad[4], out[3];
	size_t n = 0, pad = 0, i;
	const uint8_t *end;

	body.n = (size_t)(in.p + in.n - body.p);
	end = find(body, END);
	if (!end)
		return hf_fail(e, HF_CORRUPT, "key file: cut short, its END line is missing");
	for (i = (size_t)(end - body.p) + strlen(END); i < body.n; i++)
		if (!space(body.p[i]))
			return hf_fail(e, HF_CORRUPT, "key file: something follows the key");
	for (; body.p < end; body.p++) {
		if (space(*body.p))
			continue;
		if (pad && *body.p != '=')
			return hf_fail(e, HF_CORRUPT, "key file: malformed base64");
		pad += *body.p == '=';
		quad[n++] = *body.p;
		if (n < sizeof(quad))
			continue;
		if (pad > 2 || EVP_DecodeBlock(out, quad, sizeof(quad)) != 3)
			return hf_fail(e, HF_CORRUPT, "key file: malformed base64");
		hf_buf_add(der, out, 3 - pad);
		n = 0;
	}
	if (n || der->bad)
		return hf_fail(e, HF_CORRUPT, "key file: malformed base64, or too long");
	return HF_OK;
}

enum hf_rc hf_keyfile_decode_any(struct hf_view file, struct hf_buf *der, struct hf_keyfile *out,
				 struct hf_err *e)
{
	const uint8_t *begin;
	enum hf_rc rc = HF_OK;

	*out = (struct hf_keyfile){ 0 };
	if (file.n > HF_KEYFILE_MAX)
		return hf_fail(e, HF_CORRUPT, "key file: %zu bytes, at most %u are allowed", file.n,
			       HF_KEYFILE_MAX);
	begin = find(file, BEGIN);
	if (begin)
		rc = read_pem(file, begin, der, e);
	else
		hf_buf_add(der, file.p, file.n);
	if (!rc && der->bad)
		rc = hf_fail(e, HF_NO_MEMORY, "key file: out of memory");
	if (!rc)
		rc = read_der(HF_VIEW_BUF(der), out, e);
	if (rc)
		*out = (struct hf_keyfile){ 0 };
	return rc;
}

enum hf_rc hf_keyfile_decode(struct hf_view file, struct hf_buf *der, struct hf_keyfile *out,
			     struct hf_err *e)
{
	enum hf_rc rc = hf_keyfile_decode_any(file, der, out, e);

	if (!rc && out->secret.n)
		rc = hf_fail(e, HF_UNSUPPORTED, "key file: the key has to be imported first");
	if (!rc && !out->empty_auth)
		rc = hf_fail(e, HF_UNSUPPORTED,
			     "key file: the key wants a password; holdfast uses keys without one");
	if (rc)
		*out = (struct hf_keyfile){ 0 };
	return rc;
}

static void put_parent(struct hf_buf *out, uint32_t parent)
{
	uint8_t v[5] = { 0, (uint8_t)(parent >> 24), (uint8_t)(parent >> 16),
			 (uint8_t)(parent >> 8), (uint8_t)parent };
	size_t skip = 0;

	while (skip < 4 && v[skip] == 0 && !(v[skip + 1] & 0x80))
		skip++;
	hf_der_put(out, HF_DER_INTEGER, v + skip, sizeof(v) - skip);
}

enum hf_rc hf_keyfile_encode(const struct hf_keyfile *key, struct hf_buf *pem, struct hf_err *e)
{
	static const uint8_t yes[] = { 0x01, 0x01, 0xff };
	HF_AUTO_BUF seq = HF_BUF(HF_KEYFILE_MAX);
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	char line[LINE / 3 * 4 + 8];
	size_t i, n;

	hf_der_put(&seq, HF_DER_OID, oid_loadable, sizeof(oid_loadable));
	hf_der_put(&seq, HF_DER_CONTEXT + EMPTY_AUTH, yes, sizeof(yes));
	put_parent(&seq, key->parent);
	hf_der_put(&seq, HF_DER_OCTET_STRING, key->pub.p, key->pub.n);
	hf_der_put(&seq, HF_DER_OCTET_STRING, key->priv.p, key->priv.n);
	hf_der_put(&der, HF_DER_SEQUENCE, seq.p, seq.n);
	hf_buf_str(pem, BEGIN "\n");
	for (i = 0; i < der.n; i += n) {
		n = der.n - i < 48 ? der.n - i : 48; /* 64 characters */
		(void)EVP_EncodeBlock((unsigned char *)line, der.p + i, (int)n);
		hf_buf_str(pem, line);
		hf_buf_str(pem, "\n");
	}
	hf_buf_str(pem, END "\n");
	if (seq.bad || der.bad || pem->bad)
		return hf_fail(e, HF_FAILED, "key file: the key does not fit %u bytes",
			       HF_KEYFILE_MAX);
	return HF_OK;
}
