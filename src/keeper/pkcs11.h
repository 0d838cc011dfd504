/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11.h: the PKCS#11 backend's own header. The module runs in our process, so what it
 * may overwrite is lost; what it returns is still believed as little as a stranger's:
 * every length and count is compared with what was asked for before it is used.
 */
#ifndef HF_KEEPER_PKCS11_H
#define HF_KEEPER_PKCS11_H

#define P11_KIT_FUTURE_UNSTABLE_API 1
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "keeper/backend.h"
#include "keeper/pkcs11_template.h"
#include "keeper/pkcs11_uri.h"

/* As the warden hands them over (broker/launch.h): both of tokens that want a PIN only. */
#define HF_P11_PIN_FD	 4
#define HF_P11_LOGINS_FD 5

#define HF_P11_MECHANISMS 512
#define HF_P11_ANSWER	  4096u /* bytes that any answer of a module may have */
#define HF_P11_SLACK	  64u	/* watched bytes behind it */

/* A private key as it was found. Forgotten with the session. */
struct hf_p11_key {
	struct hf_p11_key *next;
	uint8_t spki_sha256[32];
	CK_OBJECT_HANDLE handle;
	struct hf_public *pub;
	bool pin_each_time; /* CKA_ALWAYS_AUTHENTICATE */
};

struct hf_p11 {
	struct hf_backend base; /* first: the two are cast */
	/* configuration */
	char module[1024], uri_text[512];
	P11KitUri *uri;
	/* the module, once loaded; the token, while ready */
	CK_FUNCTION_LIST *f;
	bool initialized, ready;
	bool running;	   /* hf_p11_run() is at work */
	bool pin_good;	   /* the PIN of our descriptor was taken once */
	bool login_failed; /* in this hf_p11_run(), the PIN was told and not taken */
	uint64_t started;  /* ms: when hf_p11_start() last came back */
	CK_RV rv;	   /* of the last failure; CKR_OK: it was not the module's */
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: none */
	CK_TOKEN_INFO info;
	CK_FLAGS flags; /* of the token */
	char label[33], description[128];
	CK_MECHANISM_TYPE mechanisms[HF_P11_MECHANISMS];
	CK_ULONG n_mechanisms;
	struct hf_p11_key *keys; /* used last first */
	unsigned n_keys;
};

/* What a module writes into: it is told n of bytes, and the slack has to stay as it was. */
struct hf_p11_answer {
	CK_ULONG n;
	uint8_t bytes[HF_P11_ANSWER + HF_P11_SLACK];
};

typedef enum hf_rc hf_p11_fn(struct hf_p11 *t, void *arg, struct hf_err *e);

/* pkcs11.c */
/* Turns a return value into an error, and remembers it for hf_p11_run(). */
enum hf_rc hf_p11_fail(struct hf_p11 *t, CK_RV rv, struct hf_err *e, const char *what);
/* Runs @fn on a ready token, recovering and repeating as the table of errors says. */
enum hf_rc hf_p11_run(struct hf_p11 *t, const char *what, hf_p11_fn *fn, void *arg,
		      struct hf_err *e);
/* Room for an answer of at most @n bytes; CKR_OK from _end if the module kept within it. */
void hf_p11_answer_begin(struct hf_p11_answer *a, size_t n);
CK_RV hf_p11_answer_end(const struct hf_p11_answer *a, size_t n, CK_RV rv);

/* pkcs11_token.c */
/* Loads and initializes the module, finds the token, opens a session, logs in. */
enum hf_rc hf_p11_start(struct hf_p11 *t, struct hf_err *e);
enum hf_rc hf_p11_new_session(struct hf_p11 *t, struct hf_err *e);
/* CKR_OK: it is there. CKR_USER_NOT_LOGGED_IN: but shows no private keys any more. */
CK_RV hf_p11_session_state(struct hf_p11 *t);
void hf_p11_stop(struct hf_p11 *t); /* the module is finalized; it stays loaded */
bool hf_p11_has(const struct hf_p11 *t, CK_MECHANISM_TYPE m);
bool hf_p11_makes(struct hf_p11 *t, const struct hf_algorithm *a);

/* pkcs11_pin.c */
/* C_Login, if the record and the token's flags allow to try. HF_LOCKOUT. */
enum hf_rc hf_p11_login(struct hf_p11 *t, CK_USER_TYPE user, struct hf_err *e);
/* Keeps the other keepers of this token from beginning, and from logging in; a login lets go. */
void hf_p11_logins_hold(bool hold);
/* An administrator says that the PIN may be tried again. */
enum hf_rc hf_p11_login_forgive(struct hf_err *e);

/* operations of the table in pkcs11.c */
enum hf_rc hf_p11_create(struct hf_backend *b, const hf_KeeperCreate *req, hf_KeeperCreated *out,
			 struct hf_err *e);
enum hf_rc hf_p11_sign_start(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);
enum hf_rc hf_p11_sign_finish(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e);
enum hf_rc hf_p11_decrypt(struct hf_backend *b, const hf_KeeperDecrypt *req,
			  const struct hf_exchange *x, struct hf_view data, hf_KeeperSecret *out,
			  struct hf_err *e);
enum hf_rc hf_p11_derive(struct hf_backend *b, const hf_KeeperDerive *req, struct hf_view peer,
			 hf_KeeperSecret *out, struct hf_err *e);
enum hf_rc hf_p11_wrap(struct hf_backend *b, hf_WrapInfo *out, struct hf_err *e);
enum hf_rc hf_p11_import(struct hf_backend *b, const hf_KeeperImport *req, struct hf_view blob,
			 hf_KeeperCreated *out, struct hf_err *e);
enum hf_rc hf_p11_destroy(struct hf_backend *b, const hf_KeeperDestroy *req, struct hf_err *e);

#endif
