/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certstore.h: certificates that clients of the API have asked for or left here, by their ids. An
 * id may be any text; the name of its file is made of its hash.
 */
#ifndef HF_AGENT_CERTSTORE_H
#define HF_AGENT_CERTSTORE_H

#include "base/file.h"

#define HF_CERTSTORE_MAX 1024 /* certificates */
#define HF_CERTSTORE_PEM (128u * 1024)

struct hf_stored {
	char id[254];
	char issuer[65]; /* fingerprint, hex, of the Edge CA that has issued it; "": somebody else
			  */
	int64_t not_after;
	char pem[HF_CERTSTORE_PEM];
};

/* HF_NO_KEY: there is none. */
enum hf_rc hf_certstore_get(const char *state_dir, const char *id, struct hf_stored *out,
			    struct hf_err *e);
/*
 * Durable. Of too many, those that have ended at @now make room, or else the one that ends first,
 * which is said: a client that makes up ids must not stop all others for years.
 */
enum hf_rc hf_certstore_put(const char *state_dir, const struct hf_stored *s, int64_t now,
			    struct hf_err *e);
/* One that is not there is fine. */
enum hf_rc hf_certstore_delete(const char *state_dir, const char *id, struct hf_err *e);

/* Each of them, in no order; a damaged one is set aside. */
void hf_certstore_each(const char *state_dir, void (*each)(const struct hf_stored *s, void *arg),
		       void *arg);

/* Removes those that have ended at @now. Returns how many are left. */
size_t hf_certstore_collect(const char *state_dir, int64_t now);

/* The name of the file of @id: letters and digits of it, and its hash. @dir/NAME.@suffix */
enum hf_rc hf_certstore_path(char out[HF_PATH_MAX], const char *dir, const char *id,
			     const char *suffix, struct hf_err *e);

/* Files in @dir. */
size_t hf_certstore_count(const char *dir);

#endif
