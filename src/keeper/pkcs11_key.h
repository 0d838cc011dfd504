/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_key.h: objects of a token, and the keys of ours among them. */
#ifndef HF_KEEPER_PKCS11_KEY_H
#define HF_KEEPER_PKCS11_KEY_H

#include "keeper/pkcs11.h"

/* pkcs11_object.c */
/* One attribute into @a; HF_P11_RV_LIED if its length cannot be. */
CK_RV hf_p11_get(struct hf_p11 *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
		 struct hf_p11_answer *a);
bool hf_p11_is_true(struct hf_p11 *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type);
/* The handles that match, at most @max; *@n may be as large as @max + 1: there are more. */
CK_RV hf_p11_find(struct hf_p11 *t, CK_ATTRIBUTE *match, CK_ULONG n_match, CK_OBJECT_HANDLE *out,
		  CK_ULONG max, CK_ULONG *n);
/* DER of the public key in @o, a public or an RSA private key, or a certificate. */
enum hf_rc hf_p11_spki(struct hf_p11 *t, CK_OBJECT_HANDLE o, struct hf_buf *out, struct hf_err *e);

/* pkcs11_key.c */
enum hf_rc hf_p11_key_get(struct hf_p11 *t, const hf_KeeperKey *key, struct hf_p11_key **out,
			  struct hf_err *e);
void hf_p11_key_forget(struct hf_p11 *t, const uint8_t spki_sha256[32]);
void hf_p11_keys_drop(struct hf_p11 *t);
/* The one private key that @uri names. HF_GONE: none. */
enum hf_rc hf_p11_key_find(struct hf_p11 *t, P11KitUri *uri, CK_OBJECT_HANDLE *out,
			   struct hf_err *e);
/* From the file of a key; the caller's, p11_kit_uri_free(). */
enum hf_rc hf_p11_key_uri(struct hf_view pem, P11KitUri **out, struct hf_err *e);
/* spki, spki_sha256 and blob of @out, for a key of ours. */
enum hf_rc hf_p11_key_tell(struct hf_p11 *t, const struct hf_p11_names *names,
			   const struct hf_buf *spki, hf_KeeperCreated *out, struct hf_err *e);
/* The same for any key; @id or @label may be NULL. @adopted: it is not ours to destroy. */
enum hf_rc hf_p11_key_tell_adopted(struct hf_p11 *t, CK_ATTRIBUTE *id, CK_ATTRIBUTE *label,
				   bool adopted, const struct hf_buf *spki, hf_KeeperCreated *out,
				   struct hf_err *e);
/* All that has that CKA_ID, as an hf_p11_fn: @id is a CK_ATTRIBUTE. */
enum hf_rc hf_p11_key_destroy(struct hf_p11 *t, void *id, struct hf_err *e);
/*
 * A call that makes a key may say that it failed, and have made it. _begin, before each attempt,
 * destroys what the one before left under @names; _undo what the last one did, or adds to @e.
 */
enum hf_rc hf_p11_key_begin(struct hf_p11 *t, const struct hf_p11_names *names, bool *begun,
			    struct hf_err *e);
void hf_p11_key_undo(struct hf_p11 *t, const struct hf_p11_names *names, struct hf_err *e);
enum hf_rc hf_p11_check_usage(enum hf_family family, uint32_t usage, struct hf_err *e);
/* What was asked for and what came are two things with some tokens: is it inside for good? */
enum hf_rc hf_p11_check_kept_in(struct hf_p11 *t, CK_OBJECT_HANDLE key, struct hf_err *e);
/* What has just come does what it is for, with its public half. */
enum hf_rc hf_p11_prove(struct hf_p11 *t, const hf_KeeperCreated *made, uint32_t usage,
			struct hf_err *e);
#define HF_P11_ADOPTED "x-holdfast-adopted" /* vendor's query attribute of a URI */

#endif
