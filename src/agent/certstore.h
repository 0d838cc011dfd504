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

/* Appends. HF_NO_KEY: there is none. */
enum hf_rc hf_certstore_get(const char *state_dir, const char *id, struct hf_buf *pem,
			    struct hf_err *e);
/* Durable. HF_BUSY: there are too many. */
enum hf_rc hf_certstore_put(const char *state_dir, const char *id, const void *pem, size_t n,
			    struct hf_err *e);
/* One that is not there is fine. */
enum hf_rc hf_certstore_delete(const char *state_dir, const char *id, struct hf_err *e);

/* The name of the file of @id: letters and digits of it, and its hash. @dir/NAME.@suffix */
enum hf_rc hf_certstore_path(char out[HF_PATH_MAX], const char *dir, const char *id,
			     const char *suffix, struct hf_err *e);

/* Files in @dir. */
size_t hf_certstore_count(const char *dir);

#endif
