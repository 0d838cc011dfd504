/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and the command line read with it. */
#include <stdio.h>
#include <string.h>

#include "cli/attest.h"
#include "cli/cli.h"
#include "cli/est.h"
#include "cli/output.h"
#include "cli/views.h"
#include "conf/nearest.h"

#define END                                                                                        \
	{                                                                                          \
		NULL, NULL, NULL                                                                   \
	}

const struct hf_option hf_global_options[] = {
	{ "json", NULL, "print JSON on standard output, errors as well" },
	{ "socket", "PATH", "socket of the broker (else HOLDFAST_SOCKET, else the usual one)" },
	{ "root", "DIR", "everything is below DIR instead of on the system" },
	{ "help", NULL, "say how the command is used" },
	END,
};

static const struct hf_option create_options[] = {
	{ "token", "TOKEN", "token to make it in (else the default token)" },
	{ "algorithm", "NAME",
	  "ec-p256 (default), ec-p384, ec-p521, rsa-2048, rsa-3072, rsa-4096" },
	{ "usage", "LIST", "sign (default), decrypt, derive, separated by commas; or ca alone" },
	END,
};
static const struct hf_option list_options[] = {
	{ "names", NULL, "print names only, one per line" },
	END,
};
static const struct hf_option out_options[] = {
	{ "out", "FILE", "write to FILE instead of standard output" },
	END,
};
static const struct hf_option reference_options[] = {
	{ "cert", "PATH", "certificate whose key it stands for, whenever that file is readable" },
	{ "out", "FILE", "write to FILE instead of standard output" },
	END,
};
static const struct hf_option import_options[] = {
	{ "token", "TOKEN", "token to put it into (else the default token)" },
	{ "usage", "LIST", "sign (default), decrypt, derive, separated by commas; or ca alone" },
	{ "password-file", "FILE", "the first line of FILE is the password of an encrypted key" },
	END,
};
static const struct hf_option rotate_options[] = {
	{ "grace", "TIME", "how long the old key stays usable: 24h (default), 10min, 7d, 0s" },
	{ "algorithm", "NAME", "algorithm of the new key (else that of the old one)" },
	END,
};
static const struct hf_option delete_options[] = {
	{ "yes", NULL, "do not ask" },
	END,
};
static const struct hf_option sign_options[] = {
	{ "scheme", "NAME",
	  "such as ecdsa-sha256, rsa-pkcs1-sha256, rsa-pss-sha256 (else the usual one)" },
	{ "out", "FILE", "write the signature to FILE instead of standard output" },
	END,
};
static const struct hf_option policy_options[] = {
	{ "uid", "UID", "user id of whom it is about" },
	{ "user", "NAME", "the same by name" },
	{ "key", "ID", "key, which need not be there" },
	{ "right", "RIGHT", "public, sign, ca, decrypt, derive, create, rotate, delete or admin" },
	{ "via", "SOCKET", "name of the [[socket]] that he would use (else main)" },
	{ "scheme", "NAME", "such as ecdsa-sha256 (else whatever it is)" },
	END,
};
static const struct hf_option init_options[] = {
	{ "template", "FILE", "copy FILE instead of the template that is installed" },
	END,
};
static const struct hf_option config_options[] = {
	{ "config", "FILE", "read FILE instead of config.toml" },
	END,
};
static const struct hf_option apply_options[] = {
	{ "config", "FILE", "read FILE instead of config.toml" },
	{ "password-file", "FILE",
	  "the first line of FILE is the password of encrypted private keys" },
	END,
};

const struct hf_command hf_commands[] = {
	{ "key", "create", "ID", 1, 1, create_options, "make a key in a token", hf_key_create,
	  hf_key_show_show },
	{ "key", "list", "", 0, 0, list_options, "list the keys that you may see", hf_key_list,
	  hf_key_list_show },
	{ "key", "show", "ID", 1, 1, NULL, "show a key and its generations", hf_key_show,
	  hf_key_show_show },
	{ "key", "public", "ID", 1, 1, out_options, "print the public key as PEM", hf_key_public,
	  hf_text_show },
	{ "key", "reference", "ID", 1, 1, reference_options,
	  "print the file that programs take for the private key", hf_key_reference, hf_text_show },
	{ "key", "import", "ID FILE", 2, 2, import_options,
	  "put a key that was made elsewhere into a token", hf_key_import, hf_key_show_show },
	{ "key", "export", "ID", 1, 1, out_options,
	  "print the file that the token made of a key, for other programs", hf_key_export,
	  hf_text_show },
	{ "key", "rotate", "ID", 1, 1, rotate_options,
	  "make a new generation and use it from now on", hf_key_rotate, hf_key_rotate_show },
	{ "key", "delete", "ID", 1, 1, delete_options, "delete a key, for good", hf_key_delete,
	  hf_text_show },
	{ "key", "attest", "ID", 1, 1, hf_key_attest_options,
	  "have the TPM state that it made a key, for somebody far away", hf_key_attest,
	  hf_text_show },
	{ "key", "verify", "FILE", 1, 1, hf_key_verify_options,
	  "check what 'key attest' has written, on any machine", hf_key_verify, hf_text_show },
	{ "key", "issuer", "ID CERT", 2, 2, NULL,
	  "register the certificate of a ca key, which bounds what it may issue", hf_key_issuer,
	  hf_key_show_show },
	{ "sign", NULL, "ID FILE", 2, 2, sign_options, "sign a file ('-': standard input)", hf_sign,
	  hf_text_show },
	{ "est", "cacerts", "", 0, 0, hf_est_ask_options,
	  "get the CA certificates of an EST server", hf_est_ask, hf_text_show },
	{ "est", "csrattrs", "", 0, 0, hf_est_ask_options,
	  "show what an EST server wants in requests", hf_est_ask, hf_text_show },
	{ "est", "enroll", "", 0, 0, hf_est_enroll_options,
	  "get a certificate for a key from an EST server", hf_est_enroll, hf_text_show },
	{ "est", "reenroll", "", 0, 0, hf_est_reenroll_options,
	  "get a certificate in place of an older one", hf_est_enroll, hf_text_show },
	{ "cert", "list", "", 0, 0, hf_cert_list_options, "list the certificates of this device",
	  hf_cert_list, hf_cert_list_show },
	{ "cert", "show", "ID", 1, 1, NULL, "show a certificate and what becomes of it",
	  hf_cert_show, hf_cert_show_show },
	{ "cert", "renew", "ID", 1, 1, hf_cert_renew_options, "renew a certificate now",
	  hf_cert_renew, hf_cert_done_show },
	{ "cert", "reset", "ID", 1, 1, hf_cert_reset_options,
	  "forget a certificate and its key, and get new ones", hf_cert_reset, hf_cert_done_show },
	{ "cert", "issue", "ID", 1, 1, hf_cert_issue_options,
	  "have a certificate issued by a CA of this device", hf_cert_issue, hf_text_show },
	{ "token", "list", "", 0, 0, NULL, "list the tokens and how they are", hf_token_list,
	  hf_token_show },
	{ "token", "provision", "[TOKEN]", 0, 1, NULL,
	  "make a TPM's primary key persistent, or try the PIN of a token again",
	  hf_token_provision, hf_token_show },
	{ "token", "activate", "FILE", 1, 1, hf_token_activate_options,
	  "open a credential that was made for this TPM, which proves that it is this one",
	  hf_token_activate, hf_text_show },
	{ "policy", "explain", "", 0, 0, policy_options,
	  "say what the policy allows somebody, and which rule does", hf_policy_explain,
	  hf_policy_explain_show },
	{ "config", "init", "", 0, 0, init_options,
	  "write a config.toml to begin with, unless there is one", hf_config_run_init,
	  hf_text_show },
	{ "config", "check", "", 0, 0, config_options, "check config.toml and its drop-ins",
	  hf_config_run_check, hf_config_check_show },
	{ "config", "apply", "", 0, 0, apply_options, "check, then put into effect",
	  hf_config_run_apply, hf_config_apply_show },
	{ "config", "explain", "[KEY]", 0, 1, NULL, "explain what can be configured",
	  hf_config_run_explain, hf_config_explain_show },
	{ "check", NULL, "", 0, 0, hf_check_options,
	  "look for what is wrong with certificates, keys, files and daemons", hf_check,
	  hf_check_show },
	{ "convert", NULL, "FILE", 1, 1, hf_convert_options,
	  "take apart what a PKI hands out: certificates to PEM, the key into a token", hf_convert,
	  hf_convert_show },
	{ "trust", "install", "[FILE]", 0, 1, NULL,
	  "put the trust bundle into the operating system's store", hf_trust_install,
	  hf_trust_install_show },
	{ "clock", "accept", "", 0, 0, NULL,
	  "tell the agent that the clock is right, after it was wrong for a while",
	  hf_clock_run_accept, hf_clock_accept_show },
	{ "status", NULL, "", 0, 0, NULL, "one screen: tokens, keys, certificates, clock, errors",
	  hf_status, hf_status_show },
	{ "version", NULL, "", 0, 0, NULL, "show the version", hf_version, hf_text_show },
	{ "help", NULL, "[COMMAND...]", 0, 2, NULL, "say how a command is used", hf_help,
	  hf_text_show },
	{ NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL },
};

const char *hf_cli_option(const struct hf_cli *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->n_options; i++)
		if (!strcmp(c->options[i].name, name))
			return c->options[i].value;
	return NULL;
}

/* ---------------------------------------------------------------- reading */

static bool is_option(const char *arg)
{
	return arg[0] == '-' && arg[1] == '-' && arg[2];
}

static enum hf_rc not_known(struct hf_err *e, const char *what, const char *word,
			    const struct hf_nearest *near, const char *prefix, const char *help)
{
	if (near->best)
		return hf_fail(e, HF_ARGUMENT, "there is no %s '%s%.60s'; did you mean '%s%s'?",
			       what, prefix, word, prefix, near->best);
	return hf_fail(e, HF_ARGUMENT, "there is no %s '%s%.60s'; see 'holdfast help%s%s'", what,
		       prefix, word, help[0] ? " " : "", help);
}

static enum hf_rc find_verb(struct hf_cli *c, const char *noun, const char *verb, struct hf_err *e)
{
	const struct hf_command *k;
	struct hf_nearest near;

	for (k = hf_commands; k->noun; k++)
		if (!strcmp(k->noun, noun) && verb && !strcmp(k->verb, verb)) {
			c->command = k;
			return HF_OK;
		}
	if (!verb)
		return hf_fail(e, HF_ARGUMENT, "'%s' of what? See 'holdfast help %s'", noun, noun);
	hf_nearest_init(&near, verb);
	for (k = hf_commands; k->noun; k++)
		if (!strcmp(k->noun, noun))
			hf_nearest_try(&near, k->verb);
	if (near.best)
		return hf_fail(e, HF_ARGUMENT,
			       "there is no command '%s %.60s'; did you mean '%s %s'?", noun, verb,
			       noun, near.best);
	return hf_fail(e, HF_ARGUMENT, "there is no command '%s %.60s'; see 'holdfast help %s'",
		       noun, verb, noun);
}

/* Takes one or two of the @words for the command; *@used tells how many. */
static enum hf_rc find_command(struct hf_cli *c, const char *const *words, unsigned n,
			       unsigned *used, struct hf_err *e)
{
	const struct hf_command *k;
	struct hf_nearest near;

	if (!n)
		return hf_fail(e, HF_ARGUMENT, "no command given; see 'holdfast help'");
	for (k = hf_commands; k->noun; k++) {
		if (strcmp(k->noun, words[0]))
			continue;
		*used = k->verb ? 2 : 1;
		c->noun = k->noun;
		if (k->verb)
			return find_verb(c, words[0], n > 1 ? words[1] : NULL, e);
		c->command = k;
		return HF_OK;
	}
	hf_nearest_init(&near, words[0]);
	for (k = hf_commands; k->noun; k++)
		hf_nearest_try(&near, k->noun);
	return not_known(e, "command", words[0], &near, "", "");
}

static const struct hf_option *find_option(const struct hf_option *list, const char *name, size_t n)
{
	for (; list && list->name; list++)
		if (strlen(list->name) == n && !strncmp(list->name, name, n))
			return list;
	return NULL;
}

static enum hf_rc unknown_option(const struct hf_cli *c, const char *name, size_t n,
				 struct hf_err *e)
{
	const struct hf_option *o;
	struct hf_nearest near;
	char word[64];

	(void)snprintf(word, sizeof(word), "%.*s", (int)(n < 60 ? n : 60), name);
	hf_nearest_init(&near, word);
	for (o = c->command ? c->command->options : NULL; o && o->name; o++)
		hf_nearest_try(&near, o->name);
	for (o = hf_global_options; o->name; o++)
		hf_nearest_try(&near, o->name);
	return not_known(e, "option", word, &near, "--", c->command ? c->command->noun : "");
}

/* One "--name", "--name=value" or "--name value"; *@i is moved over a value of its own. */
static enum hf_rc read_option(struct hf_cli *c, int argc, char **argv, int *i, struct hf_err *e)
{
	const char *name = argv[*i] + 2, *equals = strchr(name, '='), *value = "";
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	const struct hf_option *o = find_option(hf_global_options, name, n);

	if (!o && c->command)
		o = find_option(c->command->options, name, n);
	if (!o)
		return unknown_option(c, name, n, e);
	if (!o->value && equals)
		return hf_fail(e, HF_ARGUMENT, "--%s takes no value", o->name);
	if (o->value && equals)
		value = equals + 1;
	else if (o->value && *i + 1 < argc && !is_option(argv[*i + 1]))
		value = argv[++*i]; /* one that begins with dashes has to be written with = */
	else if (o->value)
		return hf_fail(e, HF_ARGUMENT, "--%s needs a value: --%s %s", o->name, o->name,
			       o->value);
	if (hf_cli_option(c, o->name) && !o->value)
		return HF_OK; /* said twice, meant once */
	if (hf_cli_option(c, o->name) && !strstr(o->value, "..."))
		return hf_fail(e, HF_ARGUMENT, "--%s is given twice", o->name);
	if (c->n_options == HF_CLI_OPTIONS_MAX)
		return hf_fail(e, HF_ARGUMENT, "too many options");
	c->options[c->n_options].name = o->name;
	c->options[c->n_options++].value = value;
	return HF_OK;
}

/* Does this argument of the first pass have its value in the next one? */
static bool takes_next(const char *arg)
{
	const struct hf_command *k;
	const struct hf_option *o;
	size_t n = strlen(arg + 2);

	if (strchr(arg, '='))
		return false;
	o = find_option(hf_global_options, arg + 2, n);
	for (k = hf_commands; k->noun && !o; k++)
		o = find_option(k->options, arg + 2, n);
	return o && o->value;
}

/* First the command, wherever its words stand among the options, so that options can be judged. */
static enum hf_rc read_words(struct hf_cli *c, int argc, char **argv, struct hf_err *e)
{
	const char *words[HF_CLI_WORDS_MAX + 2];
	unsigned n = 0, used = 0, j;
	enum hf_rc rc;
	bool only_words = false;
	int i;

	for (i = 1; i < argc; i++) {
		if (!only_words && !strcmp(argv[i], "--"))
			only_words = true;
		else if (!only_words && is_option(argv[i]))
			i += takes_next(argv[i]) && i + 1 < argc && !is_option(argv[i + 1]);
		else if (!only_words && argv[i][0] == '-' && argv[i][1])
			return hf_fail(e, HF_ARGUMENT,
				       "there is no option '%.60s'; see 'holdfast help'", argv[i]);
		else if (n < HF_COUNT(words))
			words[n++] = argv[i];
		else
			return hf_fail(e, HF_ARGUMENT, "too many arguments, from '%.60s' on",
				       argv[i]);
	}
	rc = find_command(c, words, n, &used, e);
	for (j = used; !rc && j < n; j++)
		if (c->n_words < HF_CLI_WORDS_MAX)
			c->words[c->n_words++] = words[j];
	return rc;
}

static bool asks(int argc, char **argv, const char *option)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], option))
			return true;
	return false;
}

enum hf_rc hf_cli_parse(struct hf_cli *c, int argc, char **argv, bool *help, struct hf_err *e)
{
	static char version[] = "version"; /* every program is asked like that */
	enum hf_rc rc;
	int i;

	for (i = 1; i < argc && is_option(argv[i]); i++)
		if (!strcmp(argv[i], "--version"))
			argv[i] = version;
	c->json = asks(argc, argv, "--json"); /* also for the error that may come */
	*help = asks(argc, argv, "--help");
	rc = read_words(c, argc, argv, e);
	for (i = 1; i < argc && !rc && strcmp(argv[i], "--"); i++)
		if (is_option(argv[i]))
			rc = read_option(c, argc, argv, &i, e);
	if (rc || *help)
		return rc;
	if (c->n_words < c->command->min || c->n_words > c->command->max)
		return hf_fail(e, HF_ARGUMENT, "%s arguments; usage: holdfast %s%s%s %s",
			       c->n_words < c->command->min ? "missing" : "too many",
			       c->command->noun, c->command->verb ? " " : "",
			       c->command->verb ? c->command->verb : "", c->command->args);
	return HF_OK;
}
