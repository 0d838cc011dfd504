/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the system: its clock, and OpenSSL as programs find it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "base/log.h"
#include "cli/certview.h"
#include "cli/check.h"

static void clock_(struct hf_checkup *k, const char *arg)
{
	const char *reason = hf_inventory_text(k->inventory.status, "clock.reason");
	struct timex tx;
	size_t i;

	(void)arg;
	memset(&tx, 0, sizeof(tx));
	if (k->inventory.alive && !hf_inventory_true(k->inventory.status, "clock.trusted"))
		hf_check_say(k, HF_CHECK_ERROR,
			     "the agent does not trust the clock, and issues nothing: %s", reason);
	for (i = 0; i < k->inventory.n; i++) {
		STACK_OF(X509) *certs = k->inventory.list[i].certs;

		if (certs &&
		    hf_certview_time(X509_get0_notBefore(sk_X509_value(certs, 0))) > k->now + 300) {
			hf_check_say(k, HF_CHECK_ERROR,
				     "the clock is behind the certificate of %s: it is wrong, or "
				     "that one is",
				     k->inventory.list[i].id);
			break;
		}
	}
	if (adjtimex(&tx) < 0)
		hf_check_say(k, HF_CHECK_SKIPPED,
			     "the kernel does not tell whether the clock is "
			     "synchronised");
	else if (tx.status & STA_UNSYNC)
		hf_check_say(k, HF_CHECK_WARNING,
			     "the clock is not synchronised: enable systemd-timesyncd or another "
			     "NTP client");
}

/* ---------------------------------------------------------------- openssl.cnf */

struct providers {
	int holdfast, by_default; /* place in the list, from 0; -1: not active */
	bool preferred;		  /* default_properties prefers provider=default */
};

static bool is_active(const CONF *conf, const char *section)
{
	const char *v = NCONF_get_string(conf, section, "activate");

	return v && strcasecmp(v, "0") && strcasecmp(v, "no") && strcasecmp(v, "false") &&
	       strcasecmp(v, "off");
}

/* "2.holdfast = …" is one way to say the same name twice. */
static const char *after_dot(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot + 1 : name;
}

static void read_providers(const CONF *conf, struct providers *p)
{
	const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
	const char *section = init ? NCONF_get_string(conf, init, "providers") : NULL;
	const char *alg = init ? NCONF_get_string(conf, init, "alg_section") : NULL;
	const char *properties = alg ? NCONF_get_string(conf, alg, "default_properties") : NULL;
	STACK_OF(CONF_VALUE) *list = section ? NCONF_get_section(conf, section) : NULL;
	int i;

	*p = (struct providers){ -1, -1, properties && strstr(properties, "provider=default") };
	for (i = 0; i < sk_CONF_VALUE_num(list); i++) {
		const CONF_VALUE *v = sk_CONF_VALUE_value(list, i);
		const char *name = NCONF_get_string(conf, v->value, "identity");

		name = name ? name : after_dot(v->name);
		if (!is_active(conf, v->value))
			continue;
		if (!strcmp(name, "holdfast"))
			p->holdfast = i;
		else if (!strcmp(name, "default"))
			p->by_default = i;
	}
	ERR_clear_error();
}

static void judge_providers(struct hf_checkup *k, const char *path, const struct providers *p)
{
	if (p->holdfast < 0)
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s does not activate the provider: programs do not find keys of "
			     "holdfast; add '.include /usr/share/holdfast/openssl-holdfast.cnf' at "
			     "its end",
			     path);
	else if (p->by_default < 0)
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s activates holdfast but not default, which has all the rest: every "
			     "program fails. Name default, with activate = 1, before holdfast",
			     path);
	else if (p->holdfast < p->by_default && !p->preferred)
		hf_check_say(k, HF_CHECK_ERROR,
			     "holdfast comes before default in %s; put default first, or add "
			     "default_properties = ?provider=default: TLS 1.2 with EC certificates "
			     "and 'openssl genpkey' fail otherwise",
			     path);
}

static void openssl_config(struct hf_checkup *k, const char *arg)
{
	const char *named = getenv("OPENSSL_CONF");
	char *path = named && named[0] ? OPENSSL_strdup(named) : CONF_get1_default_config_file();
	CONF *conf = NCONF_new(NULL);
	struct providers p;
	long line = 0;

	(void)arg;
	ERR_clear_error();
	if (!path || !conf) {
		hf_check_say(k, HF_CHECK_SKIPPED, "out of memory");
	} else if (NCONF_load(conf, path, &line) != 1) {
		hf_check_say(k, HF_CHECK_WARNING, "%s cannot be read%s", path,
			     line > 0 ? ": it has an error" : "");
	} else {
		read_providers(conf, &p);
		judge_providers(k, path, &p);
	}
	ERR_clear_error();
	NCONF_free(conf);
	OPENSSL_free(path);
}

static void provider_loads(struct hf_checkup *k, const char *arg)
{
	const char *socket = hf_cli_option(k->cli, "socket");
	OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
	OSSL_PROVIDER *own = NULL, *base = ctx ? OSSL_PROVIDER_load(ctx, "default") : NULL;
	char text[300] = "", shown[600];
	const char *data = "";

	(void)arg;
	ERR_clear_error();
	socket = socket ? socket : k->cli->root[0] ? k->cli->paths.socket : NULL;
	if (socket) /* it shall ask the broker that we ask */
		(void)setenv("HOLDFAST_SOCKET", socket, 1);
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	if (base)
		own = OSSL_PROVIDER_load(ctx, "holdfast");
	if (!own) {
		(void)ERR_peek_error_data(&data, NULL);
		(void)snprintf(text, sizeof(text), "%s", data ? data : "");
		hf_check_say(k, HF_CHECK_ERROR,
			     "OpenSSL cannot load the provider holdfast: %s; is holdfast.so where "
			     "'openssl version -m' says?",
			     hf_escape(shown, sizeof(shown), text, strlen(text)));
	} else if (!k->broker_err.rc && OSSL_PROVIDER_self_test(own) != 1) {
		hf_check_say(k, HF_CHECK_ERROR,
			     "the provider is loaded, but its self-test fails, though the broker "
			     "answers: are both of the same release?");
	}
	if (own)
		(void)OSSL_PROVIDER_unload(own);
	if (base)
		(void)OSSL_PROVIDER_unload(base);
	OSSL_LIB_CTX_free(ctx);
	ERR_clear_error();
}

const struct hf_check hf_checks_system[] = {
	{ "host-local-time", "clock is right", clock_, NULL },
	{ "openssl-config", "OpenSSL's configuration activates the provider well", openssl_config,
	  NULL },
	{ "provider-loads", "OpenSSL can load the provider", provider_loads, NULL },
	{ NULL, NULL, NULL, NULL },
};
