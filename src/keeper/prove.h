/* SPDX-License-Identifier: Apache-2.0 */
/* prove.h: does a key that has come do what it is for? Each use once, against libcrypto. */
#ifndef HF_KEEPER_PROVE_H
#define HF_KEEPER_PROVE_H

#include "keeper/backend.h"

/* Signs, decrypts and agrees with @made, whichever of it @usage names. */
enum hf_rc hf_prove(struct hf_backend *b, const hf_KeeperCreated *made, uint32_t usage,
		    struct hf_err *e);

#endif
