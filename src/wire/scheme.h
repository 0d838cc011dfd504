/* SPDX-License-Identifier: Apache-2.0 */
/* scheme.h: the encodings that belong to a signature scheme. Pure tables. */
#ifndef HF_WIRE_SCHEME_H
#define HF_WIRE_SCHEME_H

#include "base/buf.h"
#include "wire/mech.h"

/*
 * DER of the AlgorithmIdentifier that goes into certificates: ECDSA without parameters
 * (RFC 5758, section 3.2), RSA with NULL (RFC 4055, section 5), PSS with hash, MGF1 and
 * salt (section 3.1). Empty if there is none.
 */
struct hf_view hf_scheme_algorithm_id(const struct hf_scheme *scheme);

/*
 * The scheme of a ready-made DigestInfo (RFC 8017, section 9.2), as programs pass it that do
 * the encoding themselves; *@digest then is the digest in it. NULL if it is none.
 */
const struct hf_scheme *hf_scheme_of_digest_info(struct hf_view info, struct hf_view *digest);

#endif
