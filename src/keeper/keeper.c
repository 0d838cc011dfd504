/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's loop. The broker keeps up to two requests outstanding: while the token
 * works on one signature, the one before is verified and answered. So the token, which
 * is the slow part, does not wait for libcrypto, and still no signature leaves unverified.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "keeper/backend.h"
#include "keeper/caprofile.h"
#include "keeper/confined.h"
#include "wire/packet.h"

struct slot {
	uint8_t packet[HF_KEEPER_PACKET_MAX];
	hf_KeeperRequest req;
	struct hf_sign_job job;
	hf_Issued issued;
	bool ca;
};

struct keeper {
	int fd;
	bool confined;
	struct hf_backend *backend;
	struct slot slots[2];
	struct slot *signed_one; /* has a signature that is neither verified nor answered yet */
	struct hf_err closed; /* why there is no backend, if one was asked for */
	hf_KeeperReply reply;
	uint8_t out[HF_KEEPER_PACKET_MAX];
};

static const struct hf_backend_ops *const backends[] = {
#ifdef HF_HAVE_TPM2
	&hf_tpm2_ops,
#endif
#ifdef HF_HAVE_PKCS11
	&hf_pkcs11_ops,
#endif
	NULL,
};

static hf_KeeperReply *answer_to(struct keeper *k, const hf_KeeperRequest *req)
{
	/* The whole is 17 KiB: clear what is always there, each operation its own result. */
	k->reply.id = req->id;
	k->reply.status = hf_Status_OK;
	k->reply.message[0] = '\0';
	k->reply.which_result = 0;
	return &k->reply;
}

static enum hf_rc send_reply(struct keeper *k, enum hf_rc rc, const struct hf_err *why,
			     struct hf_err *e)
{
	bool secret = k->reply.which_result == hf_KeeperReply_secret_tag;
	enum hf_rc sent;
	size_t n;

	k->reply.status = (hf_Status)rc;
	k->reply.commands = k->backend ? k->backend->commands : 0;
	if (k->backend)
		k->backend->commands = 0;
	if (rc) {
		k->reply.which_result = 0;
		(void)hf_copy(k->reply.message, sizeof(k->reply.message), why->msg);
	}
	if (hf_packet_encode(hf_KeeperReply_fields, &k->reply, k->out, sizeof(k->out), &n, e))
		return hf_within(e, "answer");
	sent = hf_packet_send(k->fd, k->out, n, e);
	if (secret) {
		explicit_bzero(k->out, n);
		explicit_bzero(&k->reply.result.secret, sizeof(k->reply.result.secret));
	}
	return sent;
}

/* ---- everything but signatures */

static enum hf_rc no_token(const struct keeper *k, struct hf_err *e)
{
	if (k->closed.rc)
		return hf_fail(e, k->closed.rc, "%s", k->closed.msg);
	return hf_fail(e, HF_UNAVAILABLE, "the keeper has not been told its token yet");
}

static enum hf_rc open_token(struct keeper *k, const hf_KeeperRequest *req, struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);
	const struct hf_backend_ops *const *ops;
	enum hf_rc rc;

	/* Once, and before anything of the token is looked at. */
	if (!k->confined && !secure_getenv("HOLDFAST_UNCONFINED") &&
	    hf_keeper_confine(&req->op.open, e))
		return e->rc;
	k->confined = true;
	if (k->backend)
		k->backend->ops->close(k->backend);
	k->backend = NULL;
	for (ops = backends; *ops && strcmp((*ops)->type, req->op.open.type); ops++)
		;
	if (!*ops)
		return hf_fail(e, HF_UNSUPPORTED, "this keeper was built without tokens of type %s",
			       req->op.open.type);
	rc = (*ops)->open(&k->backend, &req->op.open, e);
	if (rc)
		return rc;
	memset(&reply->result.opened, 0, sizeof(reply->result.opened));
	reply->which_result = hf_KeeperReply_opened_tag;
	return k->backend->ops->probe(k->backend, &reply->result.opened, e);
}

static enum hf_rc op_open(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			  struct hf_err *e)
{
	enum hf_rc rc = open_token(k, req, e);

	(void)data;
	if (rc && !k->backend)
		k->closed = *e;
	return rc;
}

static enum hf_rc op_ping(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			  struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	memset(&reply->result.opened, 0, sizeof(reply->result.opened));
	reply->which_result = hf_KeeperReply_opened_tag;
	return k->backend->ops->probe(k->backend, &reply->result.opened, e);
}

static enum hf_rc op_provision(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			       struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	memset(&reply->result.opened, 0, sizeof(reply->result.opened));
	reply->which_result = hf_KeeperReply_opened_tag;
	return k->backend->ops->provision(k->backend, &reply->result.opened, e);
}

static enum hf_rc op_create(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			    struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	memset(&reply->result.created, 0, sizeof(reply->result.created));
	reply->which_result = hf_KeeperReply_created_tag;
	return k->backend->ops->create(k->backend, &req->op.create, &reply->result.created, e);
}

static enum hf_rc op_certificate(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
				 struct hf_err *e)
{
	const hf_KeeperCertificate *c = &req->op.certificate;
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	memset(&reply->result.parsed, 0, sizeof(reply->result.parsed));
	reply->which_result = hf_KeeperReply_parsed_tag;
	return hf_ca_certificate((struct hf_view){ c->spki.bytes, c->spki.size },
				 (struct hf_view){ c->certificate.bytes, c->certificate.size },
				 &reply->result.parsed, e);
}

static enum hf_rc not_had(const char *what, struct hf_err *e)
{
	return hf_fail(e, HF_UNSUPPORTED, "this token does not %s", what);
}

/* What uses a key for something else than a signature, and what it names. */
static enum hf_rc check_use(const struct keeper *k, const hf_KeeperKey *key, const char *scheme,
			    unsigned usage, const struct hf_exchange **x, struct hf_err *e)
{
	if (!k->backend)
		return no_token(k, e);
	*x = hf_exchange_find(scheme);
	if (!*x || (*x)->usage != usage)
		return hf_fail(e, HF_UNSUPPORTED, "unknown scheme %s", scheme);
	if (key->spki_sha256.size != 32)
		return hf_fail(e, HF_PROTOCOL, "the request names no key");
	if (!(key->usage & usage) || (key->usage & HF_USAGE_CA))
		return hf_fail(e, HF_DENIED, "the key was not made for this");
	return HF_OK;
}

static enum hf_rc set_input(hf_KeeperSecret *out, struct hf_view data, struct hf_err *e)
{
	out->input_sha256.size = 32;
	return hf_hash("SHA2-256", data, out->input_sha256.bytes, e);
}

static enum hf_rc op_decrypt(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			     struct hf_err *e)
{
	const hf_KeeperDecrypt *d = &req->op.decrypt;
	hf_KeeperReply *reply = answer_to(k, req);
	const struct hf_exchange *x;

	if (check_use(k, &d->key, d->scheme, HF_USAGE_DECRYPT, &x, e))
		return e->rc;
	if (!k->backend->ops->decrypt)
		return not_had("decrypt", e);
	memset(&reply->result.secret, 0, sizeof(reply->result.secret));
	reply->which_result = hf_KeeperReply_secret_tag;
	if (k->backend->ops->decrypt(k->backend, d, x, data, &reply->result.secret, e))
		return e->rc;
	return set_input(&reply->result.secret, data, e);
}

static enum hf_rc op_derive(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			    struct hf_err *e)
{
	const hf_KeeperDerive *d = &req->op.derive;
	hf_KeeperReply *reply = answer_to(k, req);
	const struct hf_exchange *x;

	if (check_use(k, &d->key, d->scheme, HF_USAGE_DERIVE, &x, e))
		return e->rc;
	if (!k->backend->ops->derive)
		return not_had("agree on keys", e);
	memset(&reply->result.secret, 0, sizeof(reply->result.secret));
	reply->which_result = hf_KeeperReply_secret_tag;
	if (k->backend->ops->derive(k->backend, d, data, &reply->result.secret, e))
		return e->rc;
	return set_input(&reply->result.secret, data, e);
}

static enum hf_rc op_wrap(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			  struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	if (!k->backend->ops->wrap)
		return not_had("take keys that were made elsewhere", e);
	memset(&reply->result.wrap, 0, sizeof(reply->result.wrap));
	reply->which_result = hf_KeeperReply_wrap_tag;
	return k->backend->ops->wrap(k->backend, &reply->result.wrap, e);
}

static enum hf_rc op_import(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			    struct hf_err *e)
{
	hf_KeeperReply *reply = answer_to(k, req);

	if (!k->backend)
		return no_token(k, e);
	if (!k->backend->ops->import_key)
		return not_had("take keys that were made elsewhere", e);
	memset(&reply->result.created, 0, sizeof(reply->result.created));
	reply->which_result = hf_KeeperReply_created_tag;
	return k->backend->ops->import_key(k->backend, &req->op.import_key, data,
					   &reply->result.created, e);
}

static enum hf_rc op_destroy(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			     struct hf_err *e)
{
	(void)answer_to(k, req);
	(void)data;
	if (!k->backend)
		return no_token(k, e);
	/* A token that keeps nothing of a key has nothing to forget. */
	return k->backend->ops->destroy
		       ? k->backend->ops->destroy(k->backend, &req->op.destroy, e)
		       : HF_OK;
}

static enum hf_rc op_attest(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			    struct hf_err *e)
{
	const hf_KeeperAttest *a = &req->op.attest;
	hf_KeeperReply *reply = answer_to(k, req);
	hf_KeeperAttested *out = &reply->result.attested;

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	if (!k->backend->ops->attest)
		return not_had("attest keys", e);
	if (a->key.spki_sha256.size != 32)
		return hf_fail(e, HF_PROTOCOL, "the request names no key");
	memset(out, 0, sizeof(*out));
	reply->which_result = hf_KeeperReply_attested_tag;
	out->has_attestation = true;
	if (k->backend->ops->attest(k->backend, a, &out->attestation, e))
		return e->rc;
	out->input_sha256.size = 32;
	return hf_hash("SHA2-256", (struct hf_view){ a->nonce.bytes, a->nonce.size },
		       out->input_sha256.bytes, e);
}

static enum hf_rc op_activate(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			      struct hf_err *e)
{
	const hf_KeeperActivate *a = &req->op.activate;
	hf_KeeperReply *reply = answer_to(k, req);

	(void)data;
	if (!k->backend)
		return no_token(k, e);
	if (!k->backend->ops->activate)
		return not_had("activate credentials", e);
	memset(&reply->result.secret, 0, sizeof(reply->result.secret));
	reply->which_result = hf_KeeperReply_secret_tag;
	if (k->backend->ops->activate(k->backend, a, &reply->result.secret, e))
		return e->rc;
	return set_input(&reply->result.secret,
			 (struct hf_view){ a->credential.bytes, a->credential.size }, e);
}

static const struct {
	pb_size_t tag;
	enum hf_rc (*run)(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
			  struct hf_err *e);
} ops[] = {
	{ hf_KeeperRequest_open_tag, op_open },
	{ hf_KeeperRequest_create_tag, op_create },
	{ hf_KeeperRequest_certificate_tag, op_certificate },
	{ hf_KeeperRequest_provision_tag, op_provision },
	{ hf_KeeperRequest_ping_tag, op_ping },
	{ hf_KeeperRequest_decrypt_tag, op_decrypt },
	{ hf_KeeperRequest_derive_tag, op_derive },
	{ hf_KeeperRequest_wrap_tag, op_wrap },
	{ hf_KeeperRequest_import_key_tag, op_import },
	{ hf_KeeperRequest_destroy_tag, op_destroy },
	{ hf_KeeperRequest_attest_tag, op_attest },
	{ hf_KeeperRequest_activate_tag, op_activate },
};

static enum hf_rc run(struct keeper *k, const hf_KeeperRequest *req, struct hf_view data,
		      struct hf_err *e)
{
	size_t i;

	(void)answer_to(k, req);
	for (i = 0; i < HF_COUNT(ops); i++)
		if (ops[i].tag == req->which_op)
			return ops[i].run(k, req, data, e);
	return hf_fail(e, HF_UNSUPPORTED, "the keeper does not know this operation");
}

/* ---- signatures: before, and after the token */

static enum hf_rc check_ca(struct slot *s, struct hf_err *e)
{
	const hf_KeeperSign *req = &s->req.op.sign;
	struct hf_ca_input in = {
		.data = s->req.data,
		.scheme = s->job.scheme,
		.spki = { req->key.spki.bytes, req->key.spki.size },
		.profile = &req->profile,
		.issuer_not_after = req->issuer_not_after,
		.issuer_subject = { req->issuer_subject.bytes, req->issuer_subject.size },
		.now = (int64_t)time(NULL),
	};

	if (!req->message)
		return hf_fail(e, HF_REFUSED,
			       "a ca key signs certificates, CRLs and requests, not digests; "
			       "hand it the whole of what is to be signed");
	if (!req->has_profile)
		return hf_fail(e, HF_REFUSED,
			       "the ca key has no profile; add one to the configuration");
	return hf_ca_check(&in, &s->issued, e);
}

static enum hf_rc set_digest(struct slot *s, struct hf_err *e)
{
	const struct hf_scheme *scheme = s->job.scheme;

	s->job.digest_len = scheme->hash_len;
	s->job.message = (struct hf_view){ NULL, 0 };
	if (!scheme->hash && !s->req.op.sign.message)
		return hf_fail(e, HF_ARGUMENT, "%s signs messages, not digests", scheme->name);
	if (!scheme->hash) {
		s->job.message = s->req.data;
		return HF_OK;
	}
	if (s->req.op.sign.message)
		return hf_hash(scheme->hash, s->req.data, s->job.digest, e);
	if (s->req.data.n != scheme->hash_len)
		return hf_fail(e, HF_ARGUMENT, "the digest has %zu bytes, %s wants %zu", s->req.data.n,
			       scheme->name, scheme->hash_len);
	memcpy(s->job.digest, s->req.data.p, s->req.data.n);
	return HF_OK;
}

static enum hf_rc prepare(struct keeper *k, struct slot *s, struct hf_err *e)
{
	const hf_KeeperSign *req = &s->req.op.sign;
	enum hf_rc rc;

	s->job.key = &req->key;
	s->job.scheme = hf_scheme_find(req->scheme);
	s->job.pub = NULL;
	s->job.handle = NULL;
	s->ca = req->key.usage == HF_USAGE_CA;
	if (!k->backend)
		return no_token(k, e);
	if (!req->has_key || req->key.spki_sha256.size != 32)
		return hf_fail(e, HF_PROTOCOL, "the request names no key");
	if (!s->job.scheme)
		return hf_fail(e, HF_UNSUPPORTED, "unknown scheme %s", req->scheme);
	if (s->ca)
		rc = check_ca(s, e);
	else if (req->key.usage & HF_USAGE_CA)
		return hf_fail(e, HF_REFUSED,
			       "the key has ca and another usage, which protects nothing");
	else if (!(req->key.usage & HF_USAGE_SIGN))
		return hf_fail(e, HF_DENIED, "the key was not made for signing");
	else
		rc = HF_OK;
	return rc ? rc : set_digest(s, e);
}

/* The promise: nothing leaves that does not verify under the recorded key. */
static enum hf_rc finish(struct keeper *k, struct slot *s, struct hf_err *e)
{
	hf_KeeperSigned *out = &answer_to(k, &s->req)->result.signature;
	struct hf_err why = HF_ERR_INIT;
	uint8_t hash[32];
	enum hf_rc rc;

	rc = hf_public_verify(s->job.pub, s->job.scheme,
			      s->job.scheme->hash
				      ? (struct hf_view){ s->job.digest, s->job.digest_len }
				      : s->job.message,
			      (struct hf_view){ s->job.sig, s->job.sig_len }, &why);
	if (rc)
		k->backend->ops->distrust(k->backend, s->job.key);
	if (!rc)
		rc = hf_hash("SHA2-256", s->req.data, hash, &why);
	hf_public_free(s->job.pub);
	s->job.pub = NULL;
	if (!rc) {
		k->reply.which_result = hf_KeeperReply_signature_tag;
		(void)HF_PB_SET(out->signature, s->job.sig, s->job.sig_len);
		(void)HF_PB_SET(out->input_sha256, hash, sizeof(hash));
		out->has_issued = s->ca;
		if (s->ca)
			out->issued = s->issued;
	}
	return send_reply(k, rc, &why, e);
}

static enum hf_rc settle(struct keeper *k, struct hf_err *e)
{
	struct slot *s = k->signed_one;

	k->signed_one = NULL;
	return s ? finish(k, s, e) : HF_OK;
}

/* Starts the token on @s, settles the one before meanwhile, collects the signature of @s. */
static enum hf_rc sign(struct keeper *k, struct slot *s, struct hf_err *e)
{
	struct hf_err why = HF_ERR_INIT;
	enum hf_rc rc = prepare(k, s, &why), sent;
	const struct hf_backend_ops *b = rc ? NULL : k->backend->ops;

	/* If the key has to be brought in first, the one before should not wait for that. */
	if (rc || !b->ready(k->backend, s->job.key)) {
		sent = settle(k, e);
		if (sent)
			return sent;
	}
	if (!rc)
		rc = b->sign_start(k->backend, &s->job, &why);
	sent = settle(k, e);
	if (!rc)
		rc = b->sign_finish(k->backend, &s->job, &why);
	if (!rc) {
		k->signed_one = s;
		return sent;
	}
	hf_public_free(s->job.pub);
	s->job.pub = NULL;
	(void)answer_to(k, &s->req);
	return sent ? sent : send_reply(k, rc, &why, e);
}

/* ---- the loop */

/* Nobody has heard of what was made: the broker is gone. */
static void take_back(struct keeper *k, const hf_KeeperRequest *req)
{
	bool create = req->which_op == hf_KeeperRequest_create_tag;
	struct hf_err err = HF_ERR_INIT;
	hf_KeeperDestroy d;

	memset(&d, 0, sizeof(d));
	if (create)
		(void)HF_PB_SET(d.object_id, req->op.create.object_id.bytes,
				req->op.create.object_id.size);
	else if (req->which_op == hf_KeeperRequest_import_key_tag)
		(void)HF_PB_SET(d.object_id, req->op.import_key.object_id.bytes,
				req->op.import_key.object_id.size);
	if (d.object_id.size && k->backend->ops->destroy &&
	    k->backend->ops->destroy(k->backend, &d, &err))
		hf_log(HF_LOG_WARN,
		       "key %s: it was made, nobody was told, and it may be left in the token "
		       "under that label: %s",
		       create ? req->op.create.name : req->op.import_key.name, err.msg);
}

static enum hf_rc serve_one(struct keeper *k, struct hf_err *e)
{
	struct slot *s = k->signed_one == &k->slots[0] ? &k->slots[1] : &k->slots[0];
	struct hf_err why = HF_ERR_INIT;
	enum hf_rc rc, sent;
	size_t n;

	rc = hf_packet_recv(k->fd, s->packet, sizeof(s->packet), &n, e);
	if (rc)
		return rc;
	rc = hf_keeper_decode(s->packet, n, &s->req, &why);
	if (!rc && s->req.which_op == hf_KeeperRequest_sign_tag)
		return sign(k, s, e);
	if (settle(k, e))
		return e->rc;
	if (rc) {
		s->req.id = 0; /* whatever was decoded of it */
		(void)answer_to(k, &s->req);
	} else {
		rc = run(k, &s->req, s->req.data, &why);
	}
	sent = send_reply(k, rc, &why, e);
	if (sent && !rc)
		take_back(k, &s->req);
	return sent;
}

/* 1: a request waits, 0: none does, -1: stop. SIGTERM comes in here and nowhere else. */
static int wait_request(struct keeper *k, int timeout_ms, const volatile int *stop)
{
	struct timespec ts = { timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 };
	struct pollfd p = { .fd = k->fd, .events = POLLIN };
	sigset_t open;
	int n;

	sigemptyset(&open);
	n = ppoll(&p, 1, timeout_ms < 0 ? NULL : &ts, &open);
	if (*stop || (n < 0 && errno != EINTR))
		return -1;
	return n > 0;
}

enum hf_rc hf_keeper_serve(int fd, const volatile int *stop, struct hf_err *e)
{
	static struct keeper k; /* 300 KiB: not for the stack */
	enum hf_rc rc = HF_OK;
	int timeout, waiting = 0;

	k.fd = fd;
	while (!rc && waiting >= 0) {
		timeout = -1;
		if (k.signed_one)
			timeout = 0;
		else if (k.backend)
			timeout = k.backend->ops->idle(k.backend);
		waiting = wait_request(&k, timeout, stop);
		if (waiting > 0)
			rc = serve_one(&k, e);
		else
			rc = settle(&k, e);
	}
	if (k.signed_one)
		hf_public_free(k.signed_one->job.pub);
	k.signed_one = NULL;
	if (k.backend)
		k.backend->ops->close(k.backend);
	k.backend = NULL;
	/* The broker went away: the ordinary end. */
	return rc == HF_UNAVAILABLE ? HF_OK : rc;
}
