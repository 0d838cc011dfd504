/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2.h: the TPM backend's own header. What it knows about the TPM is valid from one
 * hf_tpm2_ready() until the TPM is reset, cut off or exchanged; then all of it goes.
 */
#ifndef HF_KEEPER_TPM2_H
#define HF_KEEPER_TPM2_H

#include "keeper/backend.h"
#include "keeper/keyfile.h"
#include "keeper/tpm2_link.h"
#include "keeper/tpm2_session.h"

#define HF_TPM2_OWNER_PARENT 0x40000001u /* what key files say */

/* An object as ContextSave gave it; survives flushing, not a reset of the TPM. */
struct hf_tpm2_saved {
	uint8_t *p;
	size_t n;
};

struct hf_tpm2_primary {
	bool known, persistent;
	uint32_t handle; /* loaded or persistent; 0: saved only */
	uint8_t name[HF_TPM2_NAME];
	uint8_t x[32], y[32];
	uint8_t pub[2 + 160]; /* TPM2B_PUBLIC, as the TPM wrote it */
	size_t pub_n;
	struct hf_tpm2_saved saved;
};

struct hf_tpm2_key {
	struct hf_tpm2_key *next, *prev; /* last used first */
	uint8_t spki_sha256[32];
	struct hf_public *pub;
	uint32_t attributes; /* TPMA_OBJECT */
	uint8_t name[HF_TPM2_NAME];
	uint32_t handle; /* 0: not loaded */
	bool busy;	 /* a command with it is under way */
	bool suspect;	 /* gave a wrong signature: bring it in anew, from its file */
	struct hf_tpm2_saved saved;
};

enum hf_tpm2_pss { HF_TPM2_PSS_UNKNOWN, HF_TPM2_PSS_CHIP, HF_TPM2_PSS_SOFTWARE };

struct hf_tpm2 {
	struct hf_backend base; /* first: the two are cast */
	/* configuration */
	char tcti[512];
	uint32_t primary_handle;
	bool shared; /* behind a resource manager */
	uint8_t pin[HF_TPM2_NAME];
	bool pinned;
	/* the TPM, while ready */
	struct hf_tpm2_link link;
	bool ready;
	uint32_t code;	 /* of the last failure; 0: it was not the TPM's */
	char wrong[320]; /* why this TPM is not ours; "": it may be */
	char description[128];
	bool has[8]; /* by index of hf_algorithms */
	uint32_t lockout_counter;
	unsigned slots; /* objects that fit at a time */
	enum hf_tpm2_pss pss;
	struct hf_tpm2_primary primary;
	struct hf_tpm2_session session;
	struct hf_tpm2_key head; /* of the ring of keys */
	unsigned keys, loaded;
};

/* tpm2.c */
/* Turns a response code into an error, and remembers it for hf_tpm2_run(). */
enum hf_rc hf_tpm2_fail(struct hf_tpm2 *t, uint32_t code, struct hf_err *e, const char *what);
/* Connects and looks at the TPM if that is not done. */
enum hf_rc hf_tpm2_ready(struct hf_tpm2 *t, struct hf_err *e);
/* What was loaded is no longer there: forget it without asking the TPM. */
void hf_tpm2_forget(struct hf_tpm2 *t);
/* Runs @fn, recovering and repeating as the table of errors says. */
enum hf_rc hf_tpm2_run(struct hf_tpm2 *t, const char *what,
		       enum hf_rc (*fn)(struct hf_tpm2 *, void *, struct hf_err *), void *arg,
		       struct hf_err *e);
/* The same, when a first attempt has failed already with t->code and *@e. */
enum hf_rc hf_tpm2_rerun(struct hf_tpm2 *t, const char *what,
			 enum hf_rc (*fn)(struct hf_tpm2 *, void *, struct hf_err *), void *arg,
			 struct hf_err *e);

/* tpm2_primary.c */
/* Finds or makes it, and compares its Name with the pin. */
enum hf_rc hf_tpm2_primary_find(struct hf_tpm2 *t, struct hf_err *e);
/* The same template below any hierarchy; out->handle is the caller's to flush. A TSS2_RC. */
uint32_t hf_tpm2_primary_make(struct hf_tpm2 *t, uint32_t hierarchy, struct hf_tpm2_primary *out);
/* Its handle, loading it if it is not persistent; give it back with _put. */
enum hf_rc hf_tpm2_primary_get(struct hf_tpm2 *t, uint32_t *handle, struct hf_err *e);
void hf_tpm2_primary_put(struct hf_tpm2 *t);
enum hf_rc hf_tpm2_primary_persist(struct hf_tpm2 *t, void *arg, struct hf_err *e);

/* tpm2_key.c */
/* Makes sure that @n objects more fit, by saving and flushing keys used longest ago. */
enum hf_rc hf_tpm2_room(struct hf_tpm2 *t, unsigned n, struct hf_err *e);
/* The key, loaded. HF_GONE, HF_CORRUPT, HF_UNSUPPORTED. */
enum hf_rc hf_tpm2_key_get(struct hf_tpm2 *t, const hf_KeeperKey *key, struct hf_tpm2_key **out,
			   struct hf_err *e);
struct hf_tpm2_key *hf_tpm2_key_find(struct hf_tpm2 *t, const hf_KeeperKey *key);
/* @flush: also in the TPM. */
void hf_tpm2_key_drop(struct hf_tpm2 *t, struct hf_tpm2_key *k, bool flush);
void hf_tpm2_keys_drop(struct hf_tpm2 *t, bool flush);
/* Flushes every loaded key and the session, keeping nothing saved: after 0x902 and the like. */
void hf_tpm2_make_way(struct hf_tpm2 *t);
/* Loads a key from its file; *@handle is the caller's to flush. */
enum hf_rc hf_tpm2_load(struct hf_tpm2 *t, const struct hf_keyfile *file, uint32_t *handle,
			struct hf_err *e);

/*
 * One command in the kept session, salted to the primary and begun if there is none; @name is of
 * the object that it uses. A TSS2_RC; after a failure there is no session.
 */
uint32_t hf_tpm2_call_secret(struct hf_tpm2 *t, struct hf_tpm2_cmd *c, const uint8_t *name,
			     struct hf_tpm2_rsp *rsp);

#endif
