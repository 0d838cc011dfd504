/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/client.h"

const char *hf_broker_key_label(char out[80], const struct hf_broker_key *key)
{
	char hex[65];

	if (key->name[0])
		snprintf(out, 80, "%s", key->name);
	else
		snprintf(out, 80, "sha256:%s", hf_hex(hex, sizeof(hex), key->spki_sha256, 32));
	return out;
}

static void fill_ref(hf_KeyRef *ref, const struct hf_broker_key *key)
{
	if (!hf_copy(ref->name, sizeof(ref->name), key->name))
		ref->name[0] = '\0';
	(void)HF_PB_SET(ref->spki_sha256, key->spki_sha256, key->spki_sha256 ? 32 : 0);
}

static void fill_key_get(hf_Request *req, const void *arg)
{
	req->which_op = hf_Request_key_get_tag;
	req->op.key_get.has_key = true;
	fill_ref(&req->op.key_get.key, arg);
}

static void fill_key_list(hf_Request *req, const void *arg)
{
	req->which_op = hf_Request_key_list_tag;
	if (!hf_copy(req->op.key_list.after, sizeof(req->op.key_list.after), arg))
		req->op.key_list.after[0] = '\0';
}

static void fill_sign(hf_Request *req, const void *arg)
{
	const struct hf_broker_job *job = arg;
	hf_Sign *sign = &req->op.sign;

	req->which_op = hf_Request_sign_tag;
	sign->has_key = true;
	fill_ref(&sign->key, &job->key);
	if (!hf_copy(sign->scheme, sizeof(sign->scheme), job->scheme))
		sign->scheme[0] = '\0';
	sign->message = job->message;
	sign->data = job->data;
}

static enum hf_rc wrong_answer(struct hf_err *e)
{
	return hf_fail(e, HF_PROTOCOL, "the broker answered something else than it was asked");
}

/* The broker's own errors name the key already. */
static enum hf_rc name_key(struct hf_err *e, const struct hf_broker_key *key)
{
	char label[80], head[96];

	(void)snprintf(head, sizeof(head), "key %s", hf_broker_key_label(label, key));
	return strncmp(e->msg, head, strlen(head)) ? hf_within(e, "%s", head) : e->rc;
}

static enum hf_rc key_get(struct hf_uplink *l, unsigned ms, const struct hf_broker_key *key,
			  hf_KeyInfo *info, struct hf_err *e)
{
	hf_Reply *rep = malloc(sizeof(*rep));
	enum hf_rc rc;

	if (!rep)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_uplink_call_for(l, ms, fill_key_get, key, rep, e);
	if (!rc &&
	    (rep->which_result != hf_Reply_key_tag || rep->result.key.spki_sha256.size != 32 ||
	     (key->spki_sha256 &&
	      memcmp(rep->result.key.spki_sha256.bytes, key->spki_sha256, 32) != 0)))
		rc = wrong_answer(e);
	if (!rc)
		*info = rep->result.key;
	free(rep);
	return rc ? name_key(e, key) : HF_OK;
}

enum hf_rc hf_broker_key_get(struct hf_uplink *l, const struct hf_broker_key *key, hf_KeyInfo *info,
			     struct hf_err *e)
{
	return key_get(l, HF_UPLINK_TIMEOUT_MS, key, info, e);
}

enum hf_rc hf_broker_key_known(struct hf_uplink *l, const uint8_t spki_sha256[32], hf_KeyInfo *info,
			       struct hf_err *e)
{
	struct hf_broker_key key = { "", spki_sha256 };

	return key_get(l, HF_BROKER_KNOWN_MS, &key, info, e);
}

enum hf_rc hf_broker_key_list(struct hf_uplink *l, const char *after, hf_KeyListReply *list,
			      struct hf_err *e)
{
	hf_Reply *rep = malloc(sizeof(*rep));
	enum hf_rc rc;

	if (!rep)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_uplink_call(l, fill_key_list, after, rep, e);
	if (!rc && rep->which_result != hf_Reply_key_list_tag)
		rc = wrong_answer(e);
	if (!rc)
		*list = rep->result.key_list;
	free(rep);
	return rc ? hf_within(e, "list of keys") : HF_OK;
}

static enum hf_rc take_signature(const hf_Reply *rep, const struct hf_broker_job *job, uint8_t *sig,
				 size_t size, size_t *n, struct hf_err *e)
{
	const hf_Signature *s = &rep->result.signature;

	if (rep->which_result != hf_Reply_signature_tag || !s->signature.size)
		return wrong_answer(e);
	if (s->spki_sha256.size != 32 ||
	    memcmp(s->spki_sha256.bytes, job->key.spki_sha256, 32) != 0)
		return hf_fail(e, HF_PROTOCOL, "another generation of the key has signed");
	if (s->signature.size > size)
		return hf_fail(e, HF_PROTOCOL, "signature of %u bytes, at most %zu can be",
			       (unsigned)s->signature.size, size);
	memcpy(sig, s->signature.bytes, s->signature.size);
	*n = s->signature.size;
	return HF_OK;
}

enum hf_rc hf_broker_sign(struct hf_uplink *l, const struct hf_broker_job *job, uint8_t *sig,
			  size_t size, size_t *n, struct hf_err *e)
{
	hf_Reply *rep = malloc(sizeof(*rep));
	enum hf_rc rc;

	if (!rep)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_uplink_call(l, fill_sign, job, rep, e);
	if (!rc)
		rc = take_signature(rep, job, sig, size, n, e);
	free(rep);
	return rc ? name_key(e, &job->key) : HF_OK;
}

/* ---- decryption, derivation */

static void fill_decrypt(hf_Request *req, const void *arg)
{
	const struct hf_broker_secret *what = arg;
	hf_Decrypt *d = &req->op.decrypt;

	memset(d, 0, sizeof(*d));
	req->which_op = hf_Request_decrypt_tag;
	d->has_key = true;
	fill_ref(&d->key, &what->key);
	(void)hf_copy(d->scheme, sizeof(d->scheme), what->scheme);
	(void)HF_PB_SET(d->data, what->data, what->n);
	(void)HF_PB_SET(d->label, what->label, what->n_label);
	d->tls_client_version = what->tls_client_version;
	d->tls_negotiated_version = what->tls_negotiated_version;
}

static void fill_derive(hf_Request *req, const void *arg)
{
	const struct hf_broker_secret *what = arg;
	hf_Derive *d = &req->op.derive;

	memset(d, 0, sizeof(*d));
	req->which_op = hf_Request_derive_tag;
	d->has_key = true;
	fill_ref(&d->key, &what->key);
	(void)hf_copy(d->scheme, sizeof(d->scheme), what->scheme);
	(void)HF_PB_SET(d->peer, what->data, what->n);
}

static enum hf_rc ask_secret(struct hf_uplink *l, void (*fill)(hf_Request *req, const void *arg),
			     const struct hf_broker_secret *what, uint8_t *out, size_t *n,
			     struct hf_err *e)
{
	hf_Reply *rep = malloc(sizeof(*rep));
	const hf_Secret *s;
	enum hf_rc rc;

	if (!rep)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	s = &rep->result.secret;
	rc = hf_uplink_call(l, fill, what, rep, e);
	if (!rc && (rep->which_result != hf_Reply_secret_tag || s->spki_sha256.size != 32))
		rc = wrong_answer(e);
	if (!rc && what->key.spki_sha256 &&
	    memcmp(s->spki_sha256.bytes, what->key.spki_sha256, 32) != 0)
		rc = hf_fail(e, HF_PROTOCOL, "another generation of the key was used");
	if (!rc) {
		memcpy(out, s->data.bytes, s->data.size);
		*n = s->data.size;
	}
	explicit_bzero(rep, sizeof(*rep));
	free(rep);
	return rc ? name_key(e, &what->key) : HF_OK;
}

enum hf_rc hf_broker_decrypt(struct hf_uplink *l, const struct hf_broker_secret *what, uint8_t *out,
			     size_t *n, struct hf_err *e)
{
	return ask_secret(l, fill_decrypt, what, out, n, e);
}

enum hf_rc hf_broker_derive(struct hf_uplink *l, const struct hf_broker_secret *what, uint8_t *out,
			    size_t *n, struct hf_err *e)
{
	return ask_secret(l, fill_derive, what, out, n, e);
}

/* ---- creation */

#define CREATE_MS 200000u /* an RSA key on a slow chip, and the broker's own limit before ours */

enum hf_rc hf_broker_key_create(struct hf_uplink *l, const hf_KeyCreate *what, hf_KeyInfo *info,
				struct hf_err *e)
{
	struct hf_broker_key key = { what->name, NULL };
	hf_Request *req = calloc(1, sizeof(*req));
	hf_Reply *rep = malloc(sizeof(*rep));
	enum hf_rc rc = HF_NO_MEMORY;
	int fd = -1;

	if (req && rep) {
		req->which_op = hf_Request_key_create_tag;
		req->op.key_create = *what;
		rc = hf_client_open(hf_uplink_path(l), "key creation", 5000, &fd, e);
		if (!rc)
			rc = hf_client_call(fd, req, rep, CREATE_MS, e);
		if (!rc && (rep->which_result != hf_Reply_key_tag || !rep->result.key.spki.size))
			rc = wrong_answer(e);
		if (!rc)
			*info = rep->result.key;
	} else {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	if (fd >= 0)
		close(fd);
	free(rep);
	free(req);
	return rc ? name_key(e, &key) : HF_OK;
}
