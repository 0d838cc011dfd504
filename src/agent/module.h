/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.h: the certificates that others get from a CA of ours: modules' server and identity
 * certificates, and those of a certificate request. Nothing here knows the agent, a file or a
 * socket.
 */
#ifndef HF_AGENT_MODULE_H
#define HF_AGENT_MODULE_H

#include "agent/issue.h"

#define HF_MODULE_NAME_MAX 254 /* of a module, its generation, its commonName; with the NUL */
#define HF_CSR_MAX	   16384

/* A module that asks. */
struct hf_module {
	bool server; /* else its identity, as a client */
	char id[HF_MODULE_NAME_MAX], generation[HF_MODULE_NAME_MAX];
	char common_name[HF_MODULE_NAME_MAX]; /* of a server */
};

/* The device it is on, for the URI of an identity. */
struct hf_module_device {
	const char *hub, *device_id;
};

/* Who signs, and for how long at most. */
struct hf_module_issuer {
	OSSL_LIB_CTX *lib;
	X509 *cert;
	EVP_PKEY *key;
	int64_t days, now;
};

/* Names that can be in a certificate and in a log: 1 to 253 printable characters of ASCII, and a
 * common name that is a host's or an address. */
enum hf_rc hf_module_check(const struct hf_module *m, struct hf_err *e);

/*
 * A certificate for @key (its public half is enough). A server's names are its common name, as an
 * address if it is one, and the module's name without a leading `$`; a common name that is too
 * long for a subject (RFC 5280: 64) is in the subjectAltName alone. An identity is named by the
 * module, with the URI azureiot://HUB/devices/DEVICE/modules/MODULE. NULL and @e.
 */
X509 *hf_module_issue(const struct hf_module *m, const struct hf_module_device *device,
		      EVP_PKEY *key, const struct hf_module_issuer *by, struct hf_err *e);

/*
 * A request in PEM: one, bounded, signed by its
 * own key, and that key strong enough. HF_ARGUMENT tells what is wrong with it.
 */
enum hf_rc hf_module_csr_read(const char *pem, OSSL_LIB_CTX *lib, X509_REQ **out, struct hf_err *e);

/*
 * A certificate as @csr asks for: its key, subject, subjectAltName, and of its uses serverAuth and
 * clientAuth. One that asks to be a CA is refused; nothing else is taken over. NULL and @e.
 */
X509 *hf_module_sign(X509_REQ *csr, const struct hf_module_issuer *by, struct hf_err *e);

/* RSA of 2048 to 4096 bits, P-256, P-384, P-521, Ed25519. HF_ARGUMENT. */
enum hf_rc hf_module_key_check(EVP_PKEY *key, struct hf_err *e);

#endif
