/* SPDX-License-Identifier: Apache-2.0 */
/* use.c: the functions that use keys: sign, verify, decrypt, derive. */
#include <stdlib.h>
#include <string.h>

#include "p11/op.h"
#include "wire/packet.h"

static void explain(const struct hf_p11_object *o)
{
	struct hf_err e = HF_ERR_INIT;
	char usage[64];

	hf_usage_text(usage, o->key->usage);
	(void)hf_fail(&e, HF_REFUSED, "key %s was made for %s, not for this%s", o->key->name, usage,
		      o->key->usage & HF_USAGE_CA ? "; it signs whole certificates, never a digest"
						  : "");
	(void)hf_p11_result(&e);
}

static ck_rv_t use_init(ck_session_handle_t session, enum hf_p11_use use,
			const struct ck_mechanism *m, ck_object_handle_t key)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_session *s;
	struct hf_p11_object o;
	ck_rv_t rv;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(p, session);
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (!m) { /* PKCS#11 3.0: gives the operation up */
		hf_p11_op_free(s->ops[use]);
		s->ops[use] = NULL;
		return hf_p11_leave(p, CKR_OK);
	}
	if (HF_P11_BAD(m->parameter, m->parameter_len))
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (s->ops[use])
		return hf_p11_leave(p, CKR_OPERATION_ACTIVE);
	if (!hf_p11_object(p, key, &o))
		return hf_p11_leave(p, CKR_KEY_HANDLE_INVALID);
	rv = hf_p11_op_new(p, use, m, &o, &s->ops[use]);
	if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED)
		explain(&o);
	return hf_p11_leave(p, rv);
}

static ck_rv_t use_update(ck_session_handle_t session, enum hf_p11_use use, const void *data,
			  unsigned long n)
{
	struct hf_p11_op *op;
	struct hf_p11 *p;
	ck_rv_t rv = hf_p11_op_take(session, use, &p, &op);

	if (rv)
		return rv;
	rv = HF_P11_BAD(data, n) ? CKR_ARGUMENTS_BAD : hf_p11_op_add(op, data, n);
	op->parts = true;
	if (rv)
		hf_p11_op_free(op);
	else
		hf_p11_op_keep(session, use, op);
	return rv;
}

/* ---- signatures. Asking for the length costs nothing and leaves the operation as it is. */

static ck_rv_t sign(ck_session_handle_t session, bool final, const void *data, unsigned long n,
		    unsigned char *sig, unsigned long *n_sig)
{
	struct hf_p11_op *op;
	struct hf_p11 *p;
	ck_rv_t rv = hf_p11_op_take(session, HF_P11_SIGN, &p, &op);
	uint8_t out[1024];
	size_t made = 0;

	if (rv)
		return rv;
	if (!n_sig || HF_P11_BAD(data, n))
		rv = CKR_ARGUMENTS_BAD;
	else if (op->parts && !final)
		rv = CKR_OPERATION_ACTIVE;
	if (!rv && (!sig || *n_sig < hf_p11_op_size(op))) {
		*n_sig = hf_p11_op_size(op);
		hf_p11_op_keep(session, HF_P11_SIGN, op);
		return sig ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	}
	if (!rv)
		rv = hf_p11_op_add(op, data, n);
	if (!rv)
		rv = hf_p11_op_sign(p, op, out, &made);
	if (!rv) {
		memcpy(sig, out, made);
		*n_sig = made;
	}
	hf_p11_op_free(op);
	return rv;
}

ck_rv_t C_SignInit(ck_session_handle_t session, struct ck_mechanism *m, ck_object_handle_t key)
{
	return use_init(session, HF_P11_SIGN, m, key);
}

ck_rv_t C_Sign(ck_session_handle_t session, unsigned char *data, unsigned long n,
	       unsigned char *sig, unsigned long *n_sig)
{
	return sign(session, false, data, n, sig, n_sig);
}

ck_rv_t C_SignUpdate(ck_session_handle_t session, unsigned char *part, unsigned long n)
{
	return use_update(session, HF_P11_SIGN, part, n);
}

ck_rv_t C_SignFinal(ck_session_handle_t session, unsigned char *sig, unsigned long *n_sig)
{
	return sign(session, true, NULL, 0, sig, n_sig);
}

static ck_rv_t verify(ck_session_handle_t session, bool final, const void *data, unsigned long n,
		      const unsigned char *sig, unsigned long n_sig)
{
	struct hf_p11_op *op;
	struct hf_p11 *p;
	ck_rv_t rv = hf_p11_op_take(session, HF_P11_VERIFY, &p, &op);

	if (rv)
		return rv;
	if (HF_P11_BAD(sig, n_sig) || HF_P11_BAD(data, n))
		rv = CKR_ARGUMENTS_BAD;
	else if (op->parts && !final)
		rv = CKR_OPERATION_ACTIVE;
	if (!rv)
		rv = hf_p11_op_add(op, data, n);
	if (!rv)
		rv = hf_p11_op_verify(p, op, sig, n_sig);
	hf_p11_op_free(op);
	return rv;
}

ck_rv_t C_VerifyInit(ck_session_handle_t session, struct ck_mechanism *m, ck_object_handle_t key)
{
	return use_init(session, HF_P11_VERIFY, m, key);
}

ck_rv_t C_Verify(ck_session_handle_t session, unsigned char *data, unsigned long n,
		 unsigned char *sig, unsigned long n_sig)
{
	return verify(session, false, data, n, sig, n_sig);
}

ck_rv_t C_VerifyUpdate(ck_session_handle_t session, unsigned char *part, unsigned long n)
{
	return use_update(session, HF_P11_VERIFY, part, n);
}

ck_rv_t C_VerifyFinal(ck_session_handle_t session, unsigned char *sig, unsigned long n_sig)
{
	return verify(session, true, NULL, 0, sig, n_sig);
}

/* ---- decryption */

/* Hands out op->result. True if the operation is over. */
static bool hand_out(struct hf_p11_op *op, unsigned char *out, unsigned long *n, ck_rv_t *rv)
{
	if (*n < op->result.n) {
		*n = op->result.n;
		*rv = CKR_BUFFER_TOO_SMALL;
		return false;
	}
	if (op->result.n)
		memcpy(out, op->result.p, op->result.n);
	*n = op->result.n;
	*rv = CKR_OK;
	return true;
}

static ck_rv_t decrypt(ck_session_handle_t session, bool final, const void *data, unsigned long n,
		       unsigned char *out, unsigned long *n_out)
{
	struct hf_p11_op *op;
	struct hf_p11 *p;
	ck_rv_t rv = hf_p11_op_take(session, HF_P11_DECRYPT, &p, &op);

	if (rv)
		return rv;
	if (!n_out || HF_P11_BAD(data, n))
		rv = CKR_ARGUMENTS_BAD;
	else if (op->parts && !final)
		rv = CKR_OPERATION_ACTIVE;
	if (!rv && !out) { /* an upper bound, as the standard allows */
		*n_out = op->result.p ? op->result.n : hf_p11_op_size(op);
		hf_p11_op_keep(session, HF_P11_DECRYPT, op);
		return CKR_OK;
	}
	if (!rv && !op->result.p) {
		rv = hf_p11_op_add(op, data, n);
		if (!rv)
			rv = hf_p11_op_decrypt(p, op);
	}
	if (!rv && !hand_out(op, out, n_out, &rv)) {
		hf_p11_op_keep(session, HF_P11_DECRYPT, op);
		return rv;
	}
	hf_p11_op_free(op);
	return rv;
}

ck_rv_t C_DecryptInit(ck_session_handle_t session, struct ck_mechanism *m, ck_object_handle_t key)
{
	return use_init(session, HF_P11_DECRYPT, m, key);
}

ck_rv_t C_Decrypt(ck_session_handle_t session, unsigned char *data, unsigned long n,
		  unsigned char *out, unsigned long *n_out)
{
	return decrypt(session, false, data, n, out, n_out);
}

ck_rv_t C_DecryptUpdate(ck_session_handle_t session, unsigned char *part, unsigned long n,
			unsigned char *out, unsigned long *n_out)
{
	struct hf_p11_op *op;
	struct hf_p11 *p;
	ck_rv_t rv;

	if (out && n_out) {
		*n_out = 0; /* RSA has one block: it comes out at the end */
		return use_update(session, HF_P11_DECRYPT, part, n);
	}
	rv = hf_p11_op_take(session, HF_P11_DECRYPT, &p, &op);
	if (rv)
		return rv;
	if (!n_out) {
		hf_p11_op_free(op);
		return CKR_ARGUMENTS_BAD;
	}
	/* Only asks, and says the same once more; 0 would look as if there were nothing to say. */
	*n_out = hf_p11_op_size(op);
	hf_p11_op_keep(session, HF_P11_DECRYPT, op);
	return CKR_OK;
}

ck_rv_t C_DecryptFinal(ck_session_handle_t session, unsigned char *out, unsigned long *n_out)
{
	return decrypt(session, true, NULL, 0, out, n_out);
}

/* ---- derivation */

/* The other's point, bare or in an OCTET STRING: both are seen in the wild (PKCS#11 2.40, 2.3.6).
 */
static struct hf_view bare_point(const unsigned char *p, unsigned long n)
{
	if (n > 2 && p[0] == 0x04 && p[1] == n - 2 && p[2] == 0x04)
		return (struct hf_view){ p + 2, n - 2 };
	if (n > 3 && p[0] == 0x04 && p[1] == 0x81 && p[2] == n - 3 && p[3] == 0x04)
		return (struct hf_view){ p + 3, n - 3 };
	return (struct hf_view){ p, n };
}

/* One line of the template, as a number whatever its type. */
static ck_rv_t want(const struct ck_attribute *a, size_t full, struct hf_p11_secret *s)
{
	bool flag = a->type == CKA_TOKEN || a->type == CKA_SENSITIVE || a->type == CKA_EXTRACTABLE;
	unsigned long number = 0;
	unsigned char byte = 0;

	if (HF_P11_BAD(a->value, a->value_len))
		return CKR_ARGUMENTS_BAD;
	if (a->value_len == sizeof(number))
		memcpy(&number, a->value, sizeof(number));
	if (a->value_len == sizeof(byte))
		memcpy(&byte, a->value, sizeof(byte));
	if (flag && a->value_len != sizeof(byte))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	switch (a->type) {
	case CKA_KEY_TYPE:
		s->type = number;
		return CKR_OK;
	case CKA_VALUE_LEN:
		s->n = number;
		return number && number <= full ? CKR_OK : CKR_KEY_SIZE_RANGE;
	case CKA_TOKEN:
		return byte ? CKR_TOKEN_WRITE_PROTECTED : CKR_OK;
	case CKA_SENSITIVE:
		s->sensitive = byte;
		return CKR_OK;
	case CKA_EXTRACTABLE:
		s->extractable = byte;
		return CKR_OK;
	default:
		return CKR_OK;
	}
}

/* What is to be made of the secret: a session object, which can be read if nobody minds. */
static ck_rv_t wanted(const struct ck_attribute *templ, unsigned long n,
		      const struct hf_p11_key *base, struct hf_p11_secret *s)
{
	size_t full = (base->algorithm->bits + 7) / 8;
	ck_rv_t rv = CKR_OK;
	unsigned long i;

	s->type = CKK_GENERIC_SECRET;
	s->n = full;
	s->extractable = true;
	s->base_inside = !base->imported && !base->exported;
	for (i = 0; !rv && i < n; i++)
		rv = want(&templ[i], full, s);
	return rv;
}

static ck_rv_t keep_secret(ck_session_handle_t session, struct hf_p11_secret *s,
			   ck_object_handle_t *object)
{
	struct hf_p11 *p = hf_p11_enter();
	ck_rv_t rv = CKR_OK;

	if (!p)
		rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	else if (!hf_p11_session(p, session))
		rv = CKR_SESSION_HANDLE_INVALID;
	else if (p->last_secret >= 0xfffffful)
		rv = CKR_DEVICE_MEMORY;
	if (rv) {
		explicit_bzero(s, sizeof(*s));
		free(s);
		return p ? hf_p11_leave(p, rv) : rv;
	}
	s->session = session;
	s->number = ++p->last_secret;
	s->next = p->secrets;
	p->secrets = s;
	*object = HF_P11_SECRET | s->number;
	return hf_p11_leave(p, CKR_OK);
}

static ck_rv_t derive(const struct hf_p11 *p, const struct hf_p11_key *key,
		      const struct ck_ecdh1_derive_params *ecdh, struct hf_p11_secret *s)
{
	struct hf_view peer = bare_point(ecdh->public_data, ecdh->public_data_len);
	struct hf_broker_secret what = {
		.key = { key->name, key->id }, .scheme = "ecdh", .data = peer.p, .n = peer.n
	};
	size_t n = 0, full = (key->algorithm->bits + 7) / 8;
	struct hf_err e = HF_ERR_INIT;
	uint8_t x[HF_SECRET_MAX];

	if (peer.n != 2 * full + 1)
		return CKR_MECHANISM_PARAM_INVALID;
	if (hf_broker_derive(p->link, &what, x, &n, &e))
		return e.rc == HF_ARGUMENT ? CKR_MECHANISM_PARAM_INVALID : hf_p11_result(&e);
	if (n == full) /* a shorter key takes the leading bytes off (2.40, 2.3.6) */
		memcpy(s->value, x + (full - s->n), s->n);
	explicit_bzero(x, sizeof(x));
	return n == full ? CKR_OK : CKR_DEVICE_ERROR;
}

ck_rv_t C_DeriveKey(ck_session_handle_t session, struct ck_mechanism *m, ck_object_handle_t base,
		    struct ck_attribute *templ, unsigned long n, ck_object_handle_t *key)
{
	struct hf_p11 *p = hf_p11_enter();
	struct ck_ecdh1_derive_params ecdh;
	struct hf_p11_secret *s;
	struct hf_p11_object o;
	bool there;
	ck_rv_t rv;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, session))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	there = hf_p11_object(p, base, &o);
	(void)hf_p11_leave(p, CKR_OK);
	if (!m || !key || HF_P11_BAD(templ, n))
		return CKR_ARGUMENTS_BAD;
	if (!there)
		return CKR_KEY_HANDLE_INVALID;
	if (m->mechanism != CKM_ECDH1_DERIVE)
		return CKR_MECHANISM_INVALID;
	if (o.class != CKO_PRIVATE_KEY || o.key->algorithm->family != HF_FAMILY_EC)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (!(o.key->usage & HF_USAGE_DERIVE))
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	if (!m->parameter || m->parameter_len != sizeof(ecdh))
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(&ecdh, m->parameter, sizeof(ecdh));
	if (ecdh.kdf != CKD_NULL || !ecdh.public_data)
		return CKR_MECHANISM_PARAM_INVALID;
	s = calloc(1, sizeof(*s));
	if (!s)
		return CKR_HOST_MEMORY;
	rv = wanted(templ, n, o.key, s);
	if (!rv)
		rv = derive(p, o.key, &ecdh, s);
	if (!rv)
		return keep_secret(session, s, key);
	explicit_bzero(s, sizeof(*s));
	free(s);
	return rv;
}
