/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h: what a kind of token has to do for the keeper. The concrete type
 * embeds struct hf_backend first. Everything here may block; nothing here knows a
 * client. What signs is checked by the caller (keeper.c): profile before, signature after.
 */
#ifndef HF_KEEPER_BACKEND_H
#define HF_KEEPER_BACKEND_H

#include <time.h>

#include "base/err.h"
#include "keeper/public.h"
#include "wire/mech.h"
#include "wire/packet.h"

#define HF_SIGNATURE_MAX 1024u

/* One signature on its way. What it points to is the caller's, and stays until it has finished. */
struct hf_sign_job {
	const hf_KeeperKey *key;
	const struct hf_scheme *scheme;
	uint8_t digest[64];
	size_t digest_len;
	struct hf_view message;	       /* of schemes without a hash: all of it */
	uint8_t sig[HF_SIGNATURE_MAX]; /* as in X.509 */
	size_t sig_len;
	struct hf_public *pub; /* the recorded key, referenced: hf_public_free() is the caller's */
	void *handle;	       /* of the backend, between start and finish */
};

struct hf_backend;

struct hf_backend_ops {
	const char *type; /* "tpm2", "pkcs11" */

	/* Memory only; the token is looked for by `probe`, and again whenever it is missing. */
	enum hf_rc (*open)(struct hf_backend **out, const hf_KeeperOpen *conf, struct hf_err *e);
	/* Leaves nothing behind in the token. NULL is fine. */
	void (*close)(struct hf_backend *b);

	enum hf_rc (*probe)(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e);
	enum hf_rc (*provision)(struct hf_backend *b, hf_KeeperOpened *out, struct hf_err *e);
	enum hf_rc (*create)(struct hf_backend *b, const hf_KeeperCreate *req,
			     hf_KeeperCreated *out, struct hf_err *e);

	/* True if sign_start would do nothing but send one command. */
	bool (*ready)(struct hf_backend *b, const hf_KeeperKey *key);
	/* After HF_OK from start the token works on it, and finish has to be the next call. */
	enum hf_rc (*sign_start)(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);
	enum hf_rc (*sign_finish)(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);
	/* A signature that did not verify: the token's copy of the key is suspect. */
	void (*distrust)(struct hf_backend *b, const hf_KeeperKey *key);

	/*
	 * What not every token can do: NULL then. The caller has checked that the key's usage,
	 * its family and @x fit, and the length of @data; it wipes @out.
	 */
	enum hf_rc (*decrypt)(struct hf_backend *b, const hf_KeeperDecrypt *req,
			      const struct hf_exchange *x, struct hf_view data,
			      hf_KeeperSecret *out, struct hf_err *e);
	enum hf_rc (*derive)(struct hf_backend *b, const hf_KeeperDerive *req, struct hf_view peer,
			     hf_KeeperSecret *out, struct hf_err *e);
	/* The public key to which keys are wrapped for import_key. */
	enum hf_rc (*wrap)(struct hf_backend *b, hf_WrapInfo *out, struct hf_err *e);
	/* Nothing may be left in the token if it fails. */
	enum hf_rc (*import_key)(struct hf_backend *b, const hf_KeeperImport *req,
				 struct hf_view blob, hf_KeeperCreated *out, struct hf_err *e);
	/* That the key was made in this token; the answer has been verified. */
	enum hf_rc (*attest)(struct hf_backend *b, const hf_KeeperAttest *req, hf_Attestation *out,
			     struct hf_err *e);
	/* The secret in a credential that was made for what `attest` tells; the caller wipes it. */
	enum hf_rc (*activate)(struct hf_backend *b, const hf_KeeperActivate *req,
			       hf_KeeperSecret *out, struct hf_err *e);
	/* Of a key that is forgotten, or was never told of; one that is not there is HF_OK. */
	enum hf_rc (*destroy)(struct hf_backend *b, const hf_KeeperDestroy *req,
			      struct hf_err *e);

	/* Nothing was asked for a while: give back what others may want. Ms until the next, or -1.
	 */
	int (*idle)(struct hf_backend *b);
};

struct hf_backend {
	const struct hf_backend_ops *ops;
	uint32_t commands; /* that were sent to a TPM; the keeper tells and clears it */
};

extern const struct hf_backend_ops hf_tpm2_ops;
extern const struct hf_backend_ops hf_pkcs11_ops;

#endif
