/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/module.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "agent/keys.h"
#include "base/log.h"
#include "est/names.h"

#define CN_MAX	  64  /* RFC 5280, ub-common-name */
#define NAMES_MAX 100 /* subjectAltNames of a request */
#define PARTS_MAX 32  /* attributes of its subject */

/* ---------------------------------------------------------------- names */

static enum hf_rc check_name(const char *what, const char *text, struct hf_err *e)
{
	size_t i, n = strlen(text);
	char shown[80];

	for (i = 0; i < n && text[i] > ' ' && text[i] < 0x7f; i++)
		;
	if (n && i == n)
		return HF_OK;
	return hf_fail(e, HF_ARGUMENT, "%s \"%s\" is %s", what,
		       hf_escape(shown, sizeof(shown), text, n),
		       n ? "not of printable characters without blanks" : "empty");
}

static bool is_address(const char *text)
{
	unsigned char to[16];

	return inet_pton(AF_INET, text, to) == 1 || inet_pton(AF_INET6, text, to) == 1;
}

/* What may be a DNS name in a certificate: letters, digits, - and _ between dots; a star first. */
static bool is_dns(const char *text)
{
	size_t i, label = 0;

	if (!strncmp(text, "*.", 2))
		text += 2;
	for (i = 0; text[i]; i++) {
		bool plain = isalnum((unsigned char)text[i]) || text[i] == '-' || text[i] == '_';

		if (text[i] != '.' && !plain)
			return false;
		if (text[i] == '.' ? !label : ++label > 63)
			return false;
		label = text[i] == '.' ? 0 : label;
	}
	return label > 0;
}

enum hf_rc hf_module_check(const struct hf_module *m, struct hf_err *e)
{
	enum hf_rc rc = check_name("module", m->id, e);

	if (!rc && m->server)
		rc = check_name("generation", m->generation, e);
	if (!rc && m->server)
		rc = check_name("commonName", m->common_name, e);
	if (rc || !m->server || is_address(m->common_name) || is_dns(m->common_name))
		return rc;
	return hf_fail(e, HF_ARGUMENT,
		       "commonName \"%.60s\" is neither a host's name nor an address",
		       m->common_name);
}

static enum hf_rc server_names(const struct hf_module *m, GENERAL_NAMES **out, struct hf_err *e)
{
	const char *id = m->id + (m->id[0] == '$');
	char first[HF_MODULE_NAME_MAX + 8], second[HF_MODULE_NAME_MAX + 8];
	const char *list[2] = { first, second };
	bool ip = is_address(m->common_name), same = !strcmp(id, m->common_name);

	(void)snprintf(first, sizeof(first), "%s:%s", ip ? "IP" : "DNS", m->common_name);
	(void)snprintf(second, sizeof(second), "DNS:%s", id);
	return hf_sans_read(list, is_dns(id) && !same ? 2 : 1, out, e);
}

/* The URI of the original is in a dNSName there, which no verifier takes for either. */
static enum hf_rc identity_names(const struct hf_module *m, const struct hf_module_device *d,
				 GENERAL_NAMES **out, struct hf_err *e)
{
	char uri[4 * HF_MODULE_NAME_MAX];
	const char *list[1] = { uri };

	if (!d->hub[0] || !d->device_id[0])
		return HF_OK; /* a device without a hub: the module's name is all there is */
	(void)snprintf(uri, sizeof(uri), "URI:azureiot://%s/devices/%s/modules/%s", d->hub,
		       d->device_id, m->id);
	return hf_sans_read(list, 1, out, e);
}

static X509_NAME *subject_of(const char *cn, struct hf_err *e)
{
	X509_NAME *name = X509_NAME_new();

	/* Too long: the subjectAltName has it all, and the subject stays as long as it may be. */
	if (name && X509_NAME_add_entry_by_NID(
			    name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn,
			    strlen(cn) > CN_MAX ? CN_MAX : (int)strlen(cn), -1, 0) == 1)
		return name;
	X509_NAME_free(name);
	(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	return NULL;
}

/* ---------------------------------------------------------------- modules */

X509 *hf_module_issue(const struct hf_module *m, const struct hf_module_device *device,
		      EVP_PKEY *key, const struct hf_module_issuer *by, struct hf_err *e)
{
	static const char eku[2][1][64] = { { "clientAuth" }, { "serverAuth" } };
	struct hf_issue i = { .lib = by->lib,
			      .key = key,
			      .eku = eku[m->server],
			      .n_eku = 1,
			      .pathlen = -1,
			      .days = by->days,
			      .now = by->now,
			      .issuer = by->cert,
			      .issuer_key = by->key };
	enum hf_rc rc = hf_module_check(m, e);
	X509 *cert = NULL;

	if (!rc)
		rc = hf_module_key_check(key, e);
	if (!rc)
		rc = m->server ? server_names(m, &i.sans, e)
			       : identity_names(m, device, &i.sans, e);
	if (!rc)
		i.subject = subject_of(m->server ? m->common_name : m->id, e);
	if (i.subject)
		cert = hf_issue(&i, e);
	X509_NAME_free(i.subject);
	GENERAL_NAMES_free(i.sans);
	if (!cert)
		(void)hf_within(e, "module %.100s", m->id);
	return cert;
}

/* ---------------------------------------------------------------- requests */

enum hf_rc hf_module_key_check(EVP_PKEY *key, struct hf_err *e)
{
	static const char curves[][12] = { "prime256v1", "secp384r1", "secp521r1" };
	int bits = EVP_PKEY_get_bits(key);
	char group[32] = "";
	size_t i;

	if (EVP_PKEY_is_a(key, "ED25519"))
		return HF_OK;
	if (EVP_PKEY_is_a(key, "RSA")) {
		BIGNUM *exponent = NULL;
		bool odd = EVP_PKEY_get_bn_param(key, "e", &exponent) && BN_is_odd(exponent) &&
			   BN_num_bits(exponent) > 16;

		BN_free(exponent);
		if (bits >= 2048 && bits <= 4096 && odd)
			return HF_OK;
	}
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL))
		for (i = 0; i < HF_COUNT(curves); i++)
			if (!strcmp(group, curves[i]))
				return HF_OK;
	return hf_fail(e, HF_ARGUMENT,
		       "no certificate for a key of this kind (%s, %d bits); use EC P-256 or "
		       "RSA of 2048 to 4096 bits",
		       EVP_PKEY_get0_type_name(key) ? EVP_PKEY_get0_type_name(key) : "unknown",
		       bits);
}

enum hf_rc hf_module_csr_read(const char *pem, OSSL_LIB_CTX *lib, X509_REQ **out, struct hf_err *e)
{
	size_t n = strlen(pem);
	BIO *in = n <= HF_CSR_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	X509_REQ *req = X509_REQ_new_ex(lib, NULL), *read = NULL;
	EVP_PKEY *key = NULL;
	enum hf_rc rc = HF_ARGUMENT;
	char why[200];

	*out = NULL;
	ERR_clear_error();
	if (in && req)
		read = PEM_read_bio_X509_REQ(in, &req, NULL, NULL);
	key = read ? X509_REQ_get_pubkey(read) : NULL;
	if (n > HF_CSR_MAX)
		(void)hf_fail(e, rc, "the csr is larger than %d bytes", HF_CSR_MAX);
	else if (!read)
		(void)hf_fail(e, rc, "the csr is no PEM certificate request: %s",
			      hf_keys_why(why, sizeof(why)));
	else if (!key)
		(void)hf_fail(e, rc, "the csr's public key cannot be read: %s",
			      hf_keys_why(why, sizeof(why)));
	else if (X509_REQ_verify_ex(read, key, lib, NULL) != 1)
		(void)hf_fail(e, rc, "the csr is not signed by its own key");
	else if (!hf_module_key_check(key, e))
		rc = HF_OK;
	if (!rc)
		*out = read;
	else
		X509_REQ_free(read ? read : req);
	EVP_PKEY_free(key);
	BIO_free(in);
	ERR_clear_error();
	return rc;
}

/* Not a CA, by basicConstraints or by keyUsage. */
static enum hf_rc check_no_ca(STACK_OF(X509_EXTENSION) * exts, struct hf_err *e)
{
	int critical;
	BASIC_CONSTRAINTS *bc = X509V3_get_d2i(exts, NID_basic_constraints, &critical, NULL);
	ASN1_BIT_STRING *usage = X509V3_get_d2i(exts, NID_key_usage, NULL, NULL);
	bool ca =
		(!bc && critical != -1) || (bc && bc->ca) ||
		(usage && (ASN1_BIT_STRING_get_bit(usage, 5) || ASN1_BIT_STRING_get_bit(usage, 6)));

	BASIC_CONSTRAINTS_free(bc);
	ASN1_BIT_STRING_free(usage);
	return ca ? hf_fail(e, HF_ARGUMENT,
			    "the csr asks for a CA's certificate; CAs are configured with "
			    "[[credential]] and ca = true")
		  : HF_OK;
}

static bool good_string(const ASN1_STRING *s, int max)
{
	int n = ASN1_STRING_length(s);

	return n > 0 && n <= max && !memchr(ASN1_STRING_get0_data(s), 0, (size_t)n);
}

/* DNS, IP, URI and email, without NULs, in bounded number. */
static enum hf_rc take_names(STACK_OF(X509_EXTENSION) * exts, GENERAL_NAMES **out, struct hf_err *e)
{
	int critical, i;

	*out = X509V3_get_d2i(exts, NID_subject_alt_name, &critical, NULL);
	if (!*out && critical != -1)
		return hf_fail(e, HF_ARGUMENT, "the csr's subjectAltName is damaged, or twice");
	for (i = 0; i < sk_GENERAL_NAME_num(*out); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(*out, i);
		bool text =
			name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL;
		int n = name->type == GEN_IPADD ? ASN1_STRING_length(name->d.iPAddress) : 0;

		if (!(text ? good_string(name->d.ia5, 1024) : n == 4 || n == 16) || i >= NAMES_MAX)
			return hf_fail(e, HF_ARGUMENT,
				       "the csr's subjectAltName has more than %d names, or one "
				       "that is no DNS name, address, URI or email",
				       NAMES_MAX);
	}
	return HF_OK;
}

static enum hf_rc take_uses(STACK_OF(X509_EXTENSION) * exts, char eku[2][64], size_t *n,
			    struct hf_err *e)
{
	int critical, i;
	EXTENDED_KEY_USAGE *list = X509V3_get_d2i(exts, NID_ext_key_usage, &critical, NULL);
	bool good = list || critical == -1, server = !list, client = !list;

	for (i = 0; i < sk_ASN1_OBJECT_num(list); i++) {
		int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(list, i));

		server = server || nid == NID_server_auth;
		client = client || nid == NID_client_auth;
		good = good && (nid == NID_server_auth || nid == NID_client_auth);
	}
	EXTENDED_KEY_USAGE_free(list);
	*n = 0;
	if (!good)
		return hf_fail(e, HF_ARGUMENT,
			       "the csr asks for a use that is not serverAuth or clientAuth");
	if (server)
		(void)hf_copy(eku[(*n)++], 64, "serverAuth");
	if (client)
		(void)hf_copy(eku[(*n)++], 64, "clientAuth");
	return HF_OK;
}

static enum hf_rc check_subject(const X509_NAME *name, struct hf_err *e)
{
	int i, n = X509_NAME_entry_count(name);
	bool good = n <= PARTS_MAX;

	for (i = 0; good && i < n; i++)
		good = good_string(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)), 1024);
	return good ? HF_OK
		    : hf_fail(e, HF_ARGUMENT,
			      "the csr's subject has more than %d parts, or an odd one", PARTS_MAX);
}

X509 *hf_module_sign(X509_REQ *csr, const struct hf_module_issuer *by, struct hf_err *e)
{
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(csr);
	X509_NAME *subject = X509_REQ_get_subject_name(csr);
	char eku[2][64];
	struct hf_issue i = { .lib = by->lib,
			      .subject = subject,
			      .key = X509_REQ_get0_pubkey(csr),
			      .eku = (const char(*)[64])eku,
			      .pathlen = -1,
			      .days = by->days,
			      .now = by->now,
			      .issuer = by->cert,
			      .issuer_key = by->key };
	enum hf_rc rc = check_subject(subject, e);
	X509 *cert = NULL;

	if (!rc)
		rc = check_no_ca(exts, e);
	if (!rc)
		rc = take_names(exts, &i.sans, e);
	if (!rc)
		rc = take_uses(exts, eku, &i.n_eku, e);
	if (!rc && !X509_NAME_entry_count(subject) && sk_GENERAL_NAME_num(i.sans) <= 0)
		rc = hf_fail(e, HF_ARGUMENT, "the csr names nobody: no subject, no subjectAltName");
	if (!rc)
		cert = hf_issue(&i, e);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	GENERAL_NAMES_free(i.sans);
	return cert;
}
