/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast sign: the file is hashed here; only the digest goes to the broker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/file.h"
#include "cli/output.h"
#include "cli/session.h"
#include "conf/nearest.h"
#include "wire/mech.h"

/* The scheme of most programs for such a key: the hash as strong as the curve, PKCS#1 for RSA. */
static const char *usual_scheme(const char *algorithm)
{
	static const struct {
		const char *algorithm, *scheme;
	} usual[] = {
		{ "ec-p256", "ecdsa-sha256" },	    { "ec-p384", "ecdsa-sha384" },
		{ "ec-p521", "ecdsa-sha512" },	    { "rsa-2048", "rsa-pkcs1-sha256" },
		{ "rsa-3072", "rsa-pkcs1-sha256" }, { "rsa-4096", "rsa-pkcs1-sha256" },
		{ "ed25519", "ed25519" },
	};
	size_t i;

	for (i = 0; i < HF_COUNT(usual); i++)
		if (!strcmp(usual[i].algorithm, algorithm))
			return usual[i].scheme;
	return "";
}

enum hf_rc hf_sign_scheme(const hf_KeyInfo *key, const char *wanted,
			  const struct hf_scheme **scheme, struct hf_err *e)
{
	const char *name = wanted ? wanted : usual_scheme(key->algorithm);
	char known[240] = "";
	struct hf_nearest near;
	size_t used = 0;
	pb_size_t i;

	hf_nearest_init(&near, name);
	*scheme = hf_scheme_find(name);
	for (i = 0; i < key->schemes_count; i++) {
		if (*scheme && !strcmp(key->schemes[i], name))
			return HF_OK;
		hf_nearest_try(&near, key->schemes[i]);
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", key->schemes[i]);
	}
	if (!used)
		return hf_fail(e, HF_DENIED, "key %s does not sign (its usage is not sign, nor ca)",
			       key->name);
	return hf_fail(e, HF_ARGUMENT, "key %s (%s) has no scheme '%.40s'; %s%s%sit has: %s",
		       key->name, key->algorithm, name, near.best ? "did you mean '" : "",
		       near.best ? near.best : "", near.best ? "'? " : "", known);
}

/* Feeds all of @fd to @take in pieces. */
static enum hf_rc feed(int fd, const char *name, bool (*take)(void *, const void *, size_t),
		       void *to, struct hf_err *e)
{
	uint8_t piece[8192];
	ssize_t n;

	for (;;) {
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hf_fail_errno(e, HF_IO, "cannot read %s", name);
		if (!n)
			return HF_OK;
		if (!take(to, piece, (size_t)n))
			return hf_fail(e, HF_ARGUMENT,
				       "%s is too large: this key signs whole messages, of at most "
				       "%u bytes",
				       name, HF_DATA_MAX);
	}
}

static bool take_digest(void *to, const void *p, size_t n)
{
	return EVP_DigestUpdate(to, p, n) == 1;
}

static bool take_message(void *to, const void *p, size_t n)
{
	hf_buf_add(to, p, n);
	return !((struct hf_buf *)to)->bad;
}

/* What is to be signed, whole or its digest, to the session's request. */
static enum hf_rc read_input(int fd, const char *name, const struct hf_scheme *scheme,
			     struct hf_session *s, struct hf_err *e)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_MD_CTX *ctx;
	enum hf_rc rc;

	if (s->req.op.sign.message) {
		rc = feed(fd, name, take_message, &s->data, e);
		s->req.op.sign.data = HF_VIEW_BUF(&s->data);
		return rc;
	}
	ctx = EVP_MD_CTX_new();
	if (ctx && EVP_DigestInit_ex2(ctx, EVP_get_digestbyname(scheme->tls_hash), NULL) == 1)
		rc = feed(fd, name, take_digest, ctx, e);
	else
		rc = hf_fail(e, HF_UNSUPPORTED, "this libcrypto has no %s", scheme->tls_hash);
	if (!rc && EVP_DigestFinal_ex(ctx, digest, &n) != 1)
		rc = hf_fail(e, HF_FAILED, "hashing %s failed", name);
	EVP_MD_CTX_free(ctx);
	hf_buf_add(&s->data, digest, n);
	s->req.op.sign.data = HF_VIEW_BUF(&s->data);
	return rc;
}

static enum hf_rc prepare(struct hf_cli *c, struct hf_err *e)
{
	const char *name = c->words[1];
	const hf_KeyInfo *key = &c->session->rep.result.key;
	hf_Sign *q = &c->session->req.op.sign;
	const struct hf_scheme *scheme;
	HF_AUTO_FD file = -1;
	enum hf_rc rc;
	int fd = STDIN_FILENO;

	rc = hf_sign_scheme(key, hf_cli_option(c, "scheme"), &scheme, e);
	if (rc)
		return rc;
	if (strcmp(name, "-")) {
		fd = file = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return hf_fail_errno(e, HF_IO, "cannot read %s", name);
	}
	c->session->req.which_op = hf_Request_sign_tag;
	q->has_key = true;
	/* By name and hash: a rotation in between must not change the algorithm under us. */
	(void)hf_copy(q->key.name, sizeof(q->key.name), key->name);
	memcpy(&q->key.spki_sha256, &key->spki_sha256, sizeof(key->spki_sha256));
	(void)hf_copy(q->scheme, sizeof(q->scheme), scheme->name);
	q->message = (key->usage & HF_USAGE_CA) || !scheme->hash;
	hf_out_text(c->result, "name", key->name);
	hf_out_text(c->result, "scheme", scheme->name);
	return read_input(fd, name, scheme, c->session, e);
}

enum hf_rc hf_sign(struct hf_cli *c, struct hf_err *e)
{
	const char *out = hf_cli_option(c, "out");
	const hf_Signature *s;
	enum hf_rc rc;

	if (!out && !c->json && isatty(STDOUT_FILENO))
		return hf_fail(e, HF_ARGUMENT,
			       "a signature is bytes, not text: give --out FILE, or --json");
	rc = hf_session_get(c, c->words[0], e);
	if (!rc)
		rc = prepare(c, e);
	if (rc)
		return rc;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_signature_tag, e);
	if (rc)
		return hf_session_about(e, c->words[0]);
	s = &c->session->rep.result.signature;
	hf_out_hex(c->result, "sha256", s->spki_sha256.bytes, s->spki_sha256.size);
	hf_out_base64(c->result, "signature", s->signature.bytes, s->signature.size);
	if (out || !c->json)
		rc = hf_out_file(out ? out : "-", s->signature.bytes, s->signature.size, e);
	return rc;
}
