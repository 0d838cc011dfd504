/* SPDX-License-Identifier: Apache-2.0 */
/* /certificates, in the shape of IoT Edge's certificate service; and POST
 * /holdfast/v1/certificates. */
#include <stdlib.h>
#include <string.h>

#include "agent/api.h"
#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/certstore.h"
#include "base/log.h"
#include "est/certs.h"

#define DAYS_MAX  3650
#define CERTS_MAX 64

/* ---------------------------------------------------------------- get */

static bool is_bundle(const char *id)
{
	return !strcmp(id, "trust-bundle") || !strcmp(id, "aziot-edged-trust-bundle");
}

/* Certificates as they were read, never the file itself: people put private keys beside them. */
static enum hf_rc read_credential(const struct hf_credential *c, struct hf_buf *pem,
				  struct hf_err *e)
{
	if (!c->held.leaf)
		return hf_fail(e, HF_NO_KEY, "there is no certificate \"%s\" yet", c->conf->id);
	hf_ca_chain(c->held.leaf, c, pem);
	return pem->bad ? hf_fail(e, HF_NO_MEMORY, "out of memory") : HF_OK;
}

/* Of several, those that are there. */
static enum hf_rc read_bundle(struct hf_agent *a, const struct hf_agent_bundle *b,
			      struct hf_buf *pem, struct hf_err *e)
{
	size_t i;

	for (i = 0; i < b->n_of; i++) {
		struct hf_credential *c = hf_agent_find(a, b->of[i]);

		if (c)
			(void)read_credential(c, pem, e);
	}
	return pem->n ? HF_OK : hf_fail(e, HF_NO_KEY, "there is no certificate of \"%s\"", b->id);
}

static enum hf_rc read_stored(const struct hf_agent *a, const char *id, struct hf_buf *pem,
			      struct hf_err *e)
{
	struct hf_stored *s = malloc(sizeof(*s));
	enum hf_rc rc = s ? hf_certstore_get(a->settings->state_dir, id, s, e)
			  : hf_fail(e, HF_NO_MEMORY, "out of memory");

	if (!rc)
		hf_buf_str(pem, s->pem);
	free(s);
	return rc;
}

enum hf_rc hf_api_cert_get(struct hf_api_call *c, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(1u << 20);
	struct hf_agent *a = c->a;
	struct hf_credential *credential = hf_agent_find(a, c->name);
	enum hf_rc rc = HF_NO_KEY;
	size_t i;

	for (i = 0; i < a->settings->n_bundles; i++)
		if (!strcmp(a->settings->bundles[i].id, c->name))
			break;
	if (credential)
		rc = read_credential(credential, &pem, e);
	else if (i < a->settings->n_bundles)
		rc = read_bundle(a, &a->settings->bundles[i], &pem, e);
	else if (is_bundle(c->name))
		rc = hf_bundle_pem(a, &pem, e);
	else
		rc = read_stored(a, c->name, &pem, e);
	if (!rc && (pem.bad || memchr(pem.p, 0, pem.n)))
		rc = hf_fail(e, HF_CORRUPT, "certificate %s: too large, or damaged", c->name);
	if (!rc)
		hf_api_one(c, "pem", (const char *)pem.p);
	return rc;
}

/* ---------------------------------------------------------------- create */

/* On the disk before it leaves. @issuer: the CA of ours that has issued it, or NULL. */
static enum hf_rc store(const struct hf_api_call *c, const struct hf_buf *pem, int64_t not_after,
			const struct hf_credential *issuer, struct hf_err *e)
{
	const struct hf_agent *a = c->a;
	struct hf_stored *s = calloc(1, sizeof(*s));
	enum hf_rc rc = HF_OK;

	if (!s || pem->bad || !hf_copy(s->id, sizeof(s->id), c->name) ||
	    !hf_copy(s->pem, sizeof(s->pem), (const char *)pem->p))
		rc = hf_fail(e, HF_ARGUMENT, "the certificates have more than %u bytes",
			     HF_CERTSTORE_PEM);
	if (!rc && issuer && !strcmp(issuer->conf->id, a->settings->module.issuer))
		(void)hf_hex(s->issuer, sizeof(s->issuer), issuer->held.sha256, 32);
	if (!rc) {
		s->not_after = not_after;
		rc = hf_certstore_put(a->settings->state_dir, s, hf_clock_ended(&a->clock), e);
	}
	free(s);
	return rc;
}

/* Ours are made by us: who wants another one asks for a renewal. */
static enum hf_rc check_not_ours(const struct hf_api_call *c, struct hf_err *e)
{
	const struct hf_credential *own = hf_agent_find(c->a, c->name);
	size_t i;

	if (own)
		return hf_fail(e, HF_ARGUMENT,
			       "certificate %s is configured, and the agent keeps it by itself; to "
			       "have a new one: holdfast cert renew %s",
			       own->conf->id, own->conf->id);
	for (i = 0; i < c->a->settings->n_bundles; i++)
		if (!strcmp(c->a->settings->bundles[i].id, c->name))
			break;
	if (i < c->a->settings->n_bundles || is_bundle(c->name))
		return hf_fail(e, HF_ARGUMENT, "%s is a list of certificates", c->name);
	return HF_OK;
}

/* {"issuer": {"certId": …}}, or "issuer": "id" as ours has it. */
static enum hf_rc read_issuer(const struct hf_api_call *c, const char **out, struct hf_err *e)
{
	json_object *issuer = NULL, *id = NULL;

	if (!json_object_object_get_ex(c->body, "issuer", &issuer) || !issuer)
		return hf_fail(e, HF_ARGUMENT,
			       "issuer is required: \"%s\" is not configured as a certificate of "
			       "this device",
			       c->name);
	if (json_object_is_type(issuer, json_type_object))
		(void)json_object_object_get_ex(issuer, "certId", &id);
	else
		id = issuer;
	if (!id || !json_object_is_type(id, json_type_string))
		return hf_fail(e, HF_PROTOCOL, "issuer of the body has no certId");
	*out = json_object_get_string(id);
	return HF_OK;
}

static enum hf_rc read_days(const struct hf_api_call *c, int64_t *days, struct hf_err *e)
{
	json_object *v = NULL;

	if (!json_object_object_get_ex(c->body, "days", &v) || !v)
		return HF_OK;
	*days = json_object_get_int64(v);
	if (json_object_is_type(v, json_type_int) && *days >= 1 && *days <= DAYS_MAX)
		return HF_OK;
	return hf_fail(e, HF_PROTOCOL, "days of the body is no number from 1 to %d", DAYS_MAX);
}

static enum hf_rc sign_and_store(struct hf_api_call *c, const char *csr, const char *issuer,
				 struct hf_buf *pem, struct hf_err *e)
{
	struct hf_module_issuer by;
	struct hf_credential *ca;
	X509_REQ *req = NULL;
	X509 *cert = NULL;
	enum hf_rc rc = hf_ca_open(c->a, issuer, &by, &ca, e);

	if (rc == HF_NO_KEY)
		rc = hf_fail(e, HF_ARGUMENT, "the issuer \"%.100s\" is no CA of this device",
			     issuer);
	if (!rc)
		rc = read_days(c, &by.days, e);
	if (!rc)
		rc = hf_module_csr_read(csr, by.lib, &req, e);
	if (!rc)
		cert = hf_module_sign(req, &by, e);
	if (cert)
		hf_ca_chain(cert, ca, pem);
	else if (!rc)
		rc = e->rc;
	if (!rc)
		rc = store(c, pem, hf_time_of(X509_get0_notAfter(cert)), ca, e);
	hf_ca_close(&by);
	X509_REQ_free(req);
	X509_free(cert);
	return rc;
}

enum hf_rc hf_api_cert_create(struct hf_api_call *c, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(HF_CERTSTORE_PEM);
	const char *csr, *issuer = NULL;
	enum hf_rc rc = hf_api_text(c, "csr", true, &csr, e);

	if (!rc)
		rc = check_not_ours(c, e);
	if (!rc)
		rc = read_issuer(c, &issuer, e);
	if (!rc)
		rc = sign_and_store(c, csr, issuer, &pem, e);
	if (rc)
		return rc;
	hf_log(HF_LOG_NOTICE, "api: uid %u got the certificate \"%s\" of %s", (unsigned)c->q->uid,
	       c->name, issuer);
	hf_api_one(c, "pem", (const char *)pem.p);
	return HF_OK;
}

/* ---------------------------------------------------------------- put, delete */

enum hf_rc hf_api_cert_put(struct hf_api_call *c, struct hf_err *e)
{
	HF_AUTO_BUF good = HF_BUF(HF_CERTSTORE_PEM);
	STACK_OF(X509) *list = sk_X509_new_null();
	const char *pem;
	enum hf_rc rc = hf_api_text(c, "pem", true, &pem, e);

	if (!rc)
		rc = check_not_ours(c, e);
	/* The original keeps whatever it gets, and gives it to everybody. */
	if (!rc)
		rc = hf_certs_read(pem, CERTS_MAX, list, e);
	if (!rc)
		hf_certs_write(list, &good);
	if (!rc)
		rc = store(c, &good, hf_time_of(X509_get0_notAfter(sk_X509_value(list, 0))), NULL,
			   e);
	if (!rc)
		hf_api_one(c, "pem", (const char *)good.p);
	hf_certs_free(list);
	return rc;
}

enum hf_rc hf_api_cert_delete(struct hf_api_call *c, struct hf_err *e)
{
	enum hf_rc rc = check_not_ours(c, e);

	return rc ? rc : hf_certstore_delete(c->a->settings->state_dir, c->name, e);
}
