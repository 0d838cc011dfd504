/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile.h: a TPM key as a file, `TSS2 PRIVATE KEY` (draft-bottomley-tpm2-keys).
 * Written in the minimal form that tpm2-openssl and tpm2-tools read; read with
 * strict bounds, optional elements that we do not know are skipped.
 */
#ifndef HF_KEEPER_KEYFILE_H
#define HF_KEEPER_KEYFILE_H

#include "base/buf.h"
#include "base/err.h"

#define HF_KEYFILE_MAX 8192u /* bytes of PEM, and so of DER */

struct hf_keyfile {
	uint32_t
		parent; /* 0x40000001: the primary of the owner hierarchy; or a persistent handle */
	struct hf_view pub;    /* marshalled TPM2B_PUBLIC, with its size */
	struct hf_view priv;   /* marshalled TPM2B_PRIVATE, with its size */
	struct hf_view secret; /* importable: TPM2B_ENCRYPTED_SECRET, with its size; else empty */
	bool empty_auth;	     /* the file says that the key has no password */
	bool rsa_parent;	     /* if the parent is a hierarchy: its RSA primary, not the P-256 one */
	struct hf_view parent_name; /* if the file tells: the parent's Name */
};

/*
 * Reads PEM (text before the block is allowed, behind it is not) or bare DER. The
 * views of @out point into @der, which the caller keeps. HF_CORRUPT: malformed.
 * HF_UNSUPPORTED: a form we do not use: importable, sealed, with policy or password.
 */
enum hf_rc hf_keyfile_decode(struct hf_view file, struct hf_buf *der, struct hf_keyfile *out,
			     struct hf_err *e);

/*
 * What other programs write: importable keys (2.23.133.10.1.4) as well, then out->secret is not
 * empty; and whatever the file says of a password, since tpm2_encodeobject 5.4 says the contrary.
 */
enum hf_rc hf_keyfile_decode_any(struct hf_view file, struct hf_buf *der, struct hf_keyfile *out,
				 struct hf_err *e);

/* Appends PEM of a loadable key to @pem. HF_FAILED if it does not fit. */
enum hf_rc hf_keyfile_encode(const struct hf_keyfile *key, struct hf_buf *pem, struct hf_err *e);

#endif
