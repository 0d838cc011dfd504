/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_error.h: what a return value of a PKCS#11 module means for us. One table;
 * nobody else looks at CKR_ codes to decide what to do.
 */
#ifndef HF_KEEPER_PKCS11_ERROR_H
#define HF_KEEPER_PKCS11_ERROR_H

#include <p11-kit/pkcs11.h>

#include "base/err.h"

enum hf_p11_class {
	HF_P11_FINAL,	/* asking again would give the same */
	HF_P11_RETRY,	/* busy: again after a pause */
	HF_P11_ROOM,	/* the token's memory or sessions: again after a pause, once */
	HF_P11_FORGET,	/* an object handle is no longer one: find the object anew, once */
	HF_P11_SESSION, /* the session or the login is gone: open another, once */
	HF_P11_RESTART, /* the token or the module: finalize, initialize, look for it, once */
	HF_P11_ANEW,	/* what was there is not seen: as RESTART, if nothing else is either */
	HF_P11_PIN,	/* the PIN was not taken: never again by itself */
};

struct hf_p11_meaning {
	CK_RV rv;
	enum hf_rc rc;
	enum hf_p11_class class;
	const char *text;
};

/* Never NULL: values that are not in the table share one row. */
const struct hf_p11_meaning *hf_p11_meaning(CK_RV rv);

/* A value of our own: the module answered OK, and what it gave cannot be. */
#define HF_P11_RV_LIED (CKR_VENDOR_DEFINED | 0x40000001UL)
/* And this: it answered OK, and does not show what was there. */
#define HF_P11_RV_UNSEEN (CKR_VENDOR_DEFINED | 0x40000002UL)

#endif
