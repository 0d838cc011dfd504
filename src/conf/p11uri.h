/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11uri.h: RFC 7512 URIs as people write them into config.toml. Pure. The keeper, which
 * uses them, has p11-kit's parser; here is what has to be known before: is it one, which
 * part names the token, and is there a PIN in it, which has to go elsewhere.
 */
#ifndef HF_CONF_P11URI_H
#define HF_CONF_P11URI_H

#include <stdbool.h>
#include <stddef.h>

#define HF_P11URI_MAX 512

struct hf_p11uri {
	char token[HF_P11URI_MAX];    /* "pkcs11:" and the attributes of tokens and slots */
	char object[HF_P11URI_MAX];   /* "" or attributes of an object: "object=x;id=%01" */
	char pin[256];		      /* pin-value, decoded; "" if there is none */
	char pin_file[HF_P11URI_MAX]; /* pin-source, if it is a file */
	char module[HF_P11URI_MAX];   /* module-path */
};

/* NULL if @text is one; else what is wrong with it, without showing it. Wipe @out after use. */
const char *hf_p11uri_parse(struct hf_p11uri *out, const char *text);

/* Is every attribute of the one `token` in the other, whatever the order? */
bool hf_p11uri_within(const char *one, const char *other);

#endif
