/* SPDX-License-Identifier: Apache-2.0 */
/* tpm2_ops.h: what the TPM backend does with keys: rows of its table, see backend.h. */
#ifndef HF_KEEPER_TPM2_OPS_H
#define HF_KEEPER_TPM2_OPS_H

#include "keeper/tpm2.h"

/* tpm2_secret.c, tpm2_import.c: operations, see backend.h */
enum hf_rc hf_tpm2_decrypt(struct hf_backend *b, const hf_KeeperDecrypt *req,
			   const struct hf_exchange *x, struct hf_view data, hf_KeeperSecret *out,
			   struct hf_err *e);
enum hf_rc hf_tpm2_derive(struct hf_backend *b, const hf_KeeperDerive *req, struct hf_view peer,
			  hf_KeeperSecret *out, struct hf_err *e);
enum hf_rc hf_tpm2_wrap(struct hf_backend *b, hf_WrapInfo *out, struct hf_err *e);
enum hf_rc hf_tpm2_import(struct hf_backend *b, const hf_KeeperImport *req, struct hf_view blob,
			  hf_KeeperCreated *out, struct hf_err *e);

/* tpm2_attest.c: operations, see backend.h */
enum hf_rc hf_tpm2_attest(struct hf_backend *b, const hf_KeeperAttest *req, hf_Attestation *out,
			  struct hf_err *e);
enum hf_rc hf_tpm2_activate(struct hf_backend *b, const hf_KeeperActivate *req,
			    hf_KeeperSecret *out, struct hf_err *e);

/* tpm2_create.c, tpm2_sign.c: operations of the table in tpm2.c */
enum hf_rc hf_tpm2_create(struct hf_backend *b, const hf_KeeperCreate *req, hf_KeeperCreated *out,
			  struct hf_err *e);
bool hf_tpm2_sign_ready(struct hf_backend *b, const hf_KeeperKey *key);
enum hf_rc hf_tpm2_sign_start(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);
enum hf_rc hf_tpm2_sign_finish(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);

/* One TPM2_Sign with the object @handle, and its answer in X.509 form. For the PSS probe too. */
uint32_t hf_tpm2_sign_send(struct hf_tpm2 *t, uint32_t handle, const struct hf_scheme *scheme,
			   struct hf_view digest);
enum hf_rc hf_tpm2_sign_receive(struct hf_tpm2 *t, const struct hf_public *pub,
				struct hf_sign_job *job, struct hf_err *e);

#endif
