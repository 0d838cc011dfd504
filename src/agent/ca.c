/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ca.h"

#include <string.h>

#include "agent/renew.h"
#include "est/certs.h"

/* Looked at once more: it may have been the broker that was away. */
enum hf_rc hf_ca_trouble(struct hf_agent *a, struct hf_credential *c, struct hf_err *e)
{
	if (strcmp(c->conf->method, "files") != 0 || !c->trouble[0])
		return HF_OK;
	hf_renew_watch(a, c);
	return c->trouble[0] ? hf_fail(e, HF_UNAVAILABLE, "the CA %s issues nothing as it is: %s",
				       c->conf->id, c->trouble)
			     : HF_OK;
}

enum hf_rc hf_ca_open(struct hf_agent *a, const char *id, struct hf_module_issuer *by,
		      struct hf_credential **ca, struct hf_err *e)
{
	struct hf_credential *c = hf_agent_find(a, id);

	memset(by, 0, sizeof(*by));
	*ca = c;
	if (!c || !c->conf->ca || !c->conf->key.name[0])
		return hf_fail(e, HF_NO_KEY, "\"%.100s\" is no CA of this device", id);
	if (!a->clock.trusted)
		return hf_fail(e, HF_UNAVAILABLE,
			       "the clock is not trusted (%s); nothing is issued until it is",
			       a->clock.reason);
	if (!c->held.leaf)
		return hf_fail(e, HF_UNAVAILABLE, "the CA %s has no certificate yet; try again",
			       c->conf->id);
	if (hf_ca_trouble(a, c, e))
		return e->rc;
	if (hf_held_is_ahead(&c->held, a->clock.wall))
		return hf_fail(e, HF_UNAVAILABLE,
			       "the certificate of the CA %s is not valid yet: is the clock right?",
			       c->conf->id);
	by->lib = hf_keys_lib(a->keys);
	by->cert = c->held.leaf;
	by->now = a->clock.wall;
	by->days = a->settings->module.days;
	by->key = hf_keys_load_generation(a->keys, c->held.spki_sha256, e);
	return by->key ? HF_OK : hf_within(e, "CA %s", c->conf->id);
}

void hf_ca_close(struct hf_module_issuer *by)
{
	EVP_PKEY_free(by->key);
	by->key = NULL;
}

void hf_ca_chain(X509 *cert, const struct hf_credential *ca, struct hf_buf *pem)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	bool good = all && hf_certs_add(all, cert) && hf_certs_add(all, ca->held.leaf);
	int i;

	for (i = 0; good && i < sk_X509_num(ca->held.others); i++)
		good = hf_certs_add(all, sk_X509_value(ca->held.others, i));
	if (good)
		hf_certs_write(all, pem);
	else
		pem->bad = true;
	hf_certs_free(all);
}
