/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h: key references, the "key files" without a key in them.
 * Their ASN.1 is in docs/ARCHITECTURE.md. They hold no secret.
 */
#ifndef HF_PROVIDER_REFERENCE_H
#define HF_PROVIDER_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#define HF_REFERENCE_PEM "HOLDFAST KEY REFERENCE"
#define HF_REFERENCE_MAX 16384 /* bytes of DER */
#define HF_SPKI_MAX	 4096  /* bytes of a SubjectPublicKeyInfo, as on the wire */

struct hf_reference {
	char name[64];		/* of the key */
	char cert[HF_PATH_MAX]; /* absolute path, or "" */
	uint8_t spki[HF_SPKI_MAX];
	size_t spki_n;
};

/*
 * Strict DER of a version 1 reference: HF_CORRUPT if malformed, with trailing bytes, a
 * name that no key can have, or a relative path; HF_UNSUPPORTED for later versions.
 * Whether the SPKI is a key is for the caller to find out.
 */
enum hf_rc hf_reference_decode(const uint8_t *der, size_t n, struct hf_reference *ref,
			       struct hf_err *e);

/* Appends DER to @out. HF_ARGUMENT if decoding would refuse it. */
enum hf_rc hf_reference_encode(const struct hf_reference *ref, struct hf_buf *out,
			       struct hf_err *e);

/* Appends the file: a line of text that says what it is, then the PEM block. */
enum hf_rc hf_reference_pem(const struct hf_reference *ref, struct hf_buf *out, struct hf_err *e);

#endif
