/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h: what a client can ask for: one table. Looking up the key, deciding and
 * auditing happen in one place, before any operation runs, so that none can forget.
 * What is not in the table does not exist.
 */
#ifndef HF_BROKER_OPS_H
#define HF_BROKER_OPS_H

#include "broker/job.h"

/* One request while it is looked at. */
struct hf_call {
	struct hf_broker *b;
	struct hf_conn *conn;
	const struct hf_op *op;
	struct hf_key *key;		  /* target KEY: never NULL */
	struct hf_generation *generation; /* the one that was asked for, else the current one */
	uint64_t started_us;
	bool pending; /* the answer comes later, from a job */
	struct hf_err err;
};

enum hf_target { HF_TARGET_NONE, HF_TARGET_KEY, HF_TARGET_NEW };

/* Instead of a right: the one that the key's usage asks for. */
#define HF_RIGHT_USE 0x10000u

struct hf_op {
	pb_size_t tag; /* of hf_Request.op */
	const char *name;
	enum hf_target target;
	unsigned right; /* on the key; on any key where there is no target; 0: none needed */
	bool quiet;	/* success is not worth a line in the audit */
	enum hf_rc (*run)(struct hf_call *c);
};

/* Decides on b->request, runs it, answers it. */
void hf_ops_run(struct hf_broker *b, struct hf_conn *c);

/* For ops_*.c: the operations, and what they share. */
enum hf_rc hf_op_key_list(struct hf_call *c);
enum hf_rc hf_op_key_get(struct hf_call *c);
enum hf_rc hf_op_key_create(struct hf_call *c);
enum hf_rc hf_op_key_stage(struct hf_call *c);
enum hf_rc hf_op_key_current(struct hf_call *c);
enum hf_rc hf_op_key_retire(struct hf_call *c);
enum hf_rc hf_op_key_delete(struct hf_call *c);
enum hf_rc hf_op_key_issuer(struct hf_call *c);
enum hf_rc hf_op_sign(struct hf_call *c);
enum hf_rc hf_op_decrypt(struct hf_call *c);
enum hf_rc hf_op_derive(struct hf_call *c);
enum hf_rc hf_op_token_wrap(struct hf_call *c);
enum hf_rc hf_op_key_import(struct hf_call *c);
enum hf_rc hf_op_key_import_stage(struct hf_call *c);
enum hf_rc hf_op_key_export(struct hf_call *c);
enum hf_rc hf_op_key_attest(struct hf_call *c);
enum hf_rc hf_op_token_activate(struct hf_call *c);
enum hf_rc hf_op_token_list(struct hf_call *c);
enum hf_rc hf_op_status(struct hf_call *c);
enum hf_rc hf_op_provision(struct hf_call *c);
enum hf_rc hf_op_policy_explain(struct hf_call *c);

/* A job that waited together with others lets go of what they share. */
void hf_gather_put(struct hf_gather *g);

/* b->reply becomes the KeyInfo of a key and one of its generations. */
void hf_ops_key_info(struct hf_broker *b, const struct hf_key *k, const struct hf_generation *g);
/* A job that answers @c's request: copies what the audit wants to know. */
struct hf_job *hf_ops_job(struct hf_call *c, struct hf_worker *w, struct hf_view data);
/* The same for one that makes objects in the token (create, import_key), with a name for them. */
struct hf_job *hf_ops_making(struct hf_call *c, struct hf_worker *w, struct hf_view data);
/* The token may make a key for it: on a slow chip that takes its time, and has its price. */
#define HF_COST_LONG 1000u
void hf_ops_allow_time(const struct hf_call *c, struct hf_job *j);
/* What the keeper says that it has worked on, for the audit. Either may be NULL. */
struct hf_outcome {
	const uint8_t *input_sha256;
	const hf_Issued *issued;
};
struct hf_outcome hf_ops_outcome(const hf_KeeperReply *rep);
/* Answers @j's client with b->reply and @rc, and writes the audit line. @o may be NULL. */
void hf_ops_answer(struct hf_broker *b, struct hf_job *j, enum hf_rc rc, const struct hf_err *e,
		   const struct hf_outcome *o);

/* A generation as the keeper wants to have it. */
void hf_ops_fill_key(hf_KeeperKey *to, const struct hf_key *k, const struct hf_generation *g);
/* HF_ARGUMENT into c->err if @usage is no usage of a key. */
enum hf_rc hf_ops_check_usage(struct hf_call *c, unsigned usage);
/* Ends of jobs: a keeper has made, or imported, a key or a further generation. */
void hf_ops_created(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		    struct hf_err *e);
void hf_ops_staged(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e);
/*
 * A key that @j has had made is not recorded (or nobody waits for it any more): away with it. If
 * its keeper died over it that is left for hf_ops_clear_up(), when there is another.
 */
void hf_ops_discard(struct hf_broker *b, const struct hf_job *j, const hf_KeeperReply *rep);
void hf_ops_clear_up(struct hf_broker *b, struct hf_seat *s);
/* The same for a client that is gone, with an audit line: the key was used, or was going to be. */
void hf_ops_gone(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep, enum hf_rc rc);
/* Asks a token for the keys that the configuration names and the catalogue does not have. */
void hf_ops_adopt(struct hf_broker *b, struct hf_worker *w);
/* The catalogue has let a generation go: so does the token. */
void hf_ops_forget(void *broker, const struct hf_key *k, const struct hf_generation *g);

#endif
