/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h: one signature, verification or decryption on its way. While it runs it belongs to
 * the thread that runs it, not to the session, so that no lock is held meanwhile.
 */
#ifndef HF_P11_OP_H
#define HF_P11_OP_H

#include "base/buf.h"
#include "p11/mech.h"
#include "p11/object.h"

struct hf_p11_op {
	const struct hf_p11_mech *mech;
	const struct hf_p11_key *key;
	const struct hf_scheme *scheme;	    /* NULL: the length of the digest will tell */
	const struct hf_exchange *exchange; /* of a decryption */
	bool whole;			    /* the message itself goes to the broker */
	bool parts;			    /* has begun with C_...Update */
	EVP_MD_CTX *md;			    /* digests the message here */
	struct hf_buf data;		    /* what is not digested */
	struct hf_buf label;		    /* of OAEP */
	struct hf_buf result;		    /* a plaintext that did not fit the caller's buffer */
};

/* What @m asks for with @k. CKR_MECHANISM_INVALID, _PARAM_INVALID, CKR_KEY_... */
ck_rv_t hf_p11_op_new(const struct hf_p11 *p, enum hf_p11_use use, const struct ck_mechanism *m,
		      const struct hf_p11_object *o, struct hf_p11_op **op);
void hf_p11_op_free(struct hf_p11_op *op); /* NULL is fine; wipes */

ck_rv_t hf_p11_op_add(struct hf_p11_op *op, const void *data, unsigned long n);
/* Bytes of a signature; of a plaintext at most. */
size_t hf_p11_op_size(const struct hf_p11_op *op);

/* @out has hf_p11_op_size() bytes. Asks the broker: without the lock. */
ck_rv_t hf_p11_op_sign(const struct hf_p11 *p, struct hf_p11_op *op, uint8_t *out, size_t *n);
ck_rv_t hf_p11_op_verify(const struct hf_p11 *p, struct hf_p11_op *op, const uint8_t *sig,
			 size_t n);
/* Into op->result. Asks the broker: without the lock. */
ck_rv_t hf_p11_op_decrypt(const struct hf_p11 *p, struct hf_p11_op *op);

/* The operation of a session for one call: taken out of it, or why not. */
ck_rv_t hf_p11_op_take(ck_session_handle_t session, enum hf_p11_use use, struct hf_p11 **p,
		       struct hf_p11_op **op);
/* Puts it back, for the next call; it is freed if the session has gone. */
void hf_p11_op_keep(ck_session_handle_t session, enum hf_p11_use use, struct hf_p11_op *op);

#endif
