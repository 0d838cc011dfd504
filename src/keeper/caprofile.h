/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caprofile.h: what a ca key signs. Pure functions of bytes, profile and time.
 *
 * A ca key is not a signing oracle: it gets the whole of what is to be signed and
 * signs it only if it is one of four things that obey its profile.
 */
#ifndef HF_KEEPER_CAPROFILE_H
#define HF_KEEPER_CAPROFILE_H

#include <openssl/evp.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/mech.h"
#include "wire/packet.h"

struct hf_ca_input {
	struct hf_view data; /* TBSCertificate, TBSCertList or CertificationRequestInfo */
	const struct hf_scheme *scheme; /* that will be used */
	struct hf_view spki;		/* of the signing key, DER */
	const hf_CaProfile *profile;
	uint64_t issuer_not_after;     /* of the registered issuer certificate; 0: none */
	struct hf_view issuer_subject; /* DER Name; empty: none registered */
	int64_t now;		       /* seconds since 1970 */
};

/*
 * HF_OK and *@out, or HF_REFUSED with the rule that was broken and how to obey it.
 * HF_CORRUPT if the recorded key itself is not readable.
 */
enum hf_rc hf_ca_check(const struct hf_ca_input *in, hf_Issued *out, struct hf_err *e);

/*
 * A certificate to be registered as issuer: strict DER, a CA, for the key @spki.
 * HF_ARGUMENT otherwise.
 */
enum hf_rc hf_ca_certificate(struct hf_view spki, struct hf_view certificate, hf_KeeperParsed *out,
			     struct hf_err *e);

#endif
