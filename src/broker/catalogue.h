/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue.h: the keys of this device, in memory and in state_dir/keys. The only
 * writer of that directory. What it finds broken it moves to state_dir/set-aside
 * and reports; a broken file never stops the rest. docs/ARCHITECTURE.md has the format.
 */
#ifndef HF_BROKER_CATALOGUE_H
#define HF_BROKER_CATALOGUE_H

#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "broker/settings.h"
#include "wire/mech.h"

#define HF_GENERATIONS_MAX 8
#define HF_ID_SIZE	   32

struct hf_generation {
	uint8_t id[HF_ID_SIZE]; /* SHA-256 of the SPKI */
	const struct hf_algorithm *algorithm;
	uint8_t transaction[16];
	uint64_t created, retire_at; /* retire_at 0: not retiring */
	bool imported;
	struct hf_buf spki, blob;
};

struct hf_key {
	char name[HF_NAME_SIZE], token[HF_NAME_SIZE];
	unsigned usage;
	struct hf_generation generations[HF_GENERATIONS_MAX];
	size_t n;
	size_t current; /* index */
	uint64_t issuer_not_after;
	bool exported; /* its file is outside as well: the broker is not its only way */
	struct hf_buf issuer_subject;
};

/* Both NULL, or both set. */
struct hf_found {
	struct hf_key *key;
	struct hf_generation *generation;
};

struct hf_catalogue {
	char dir[HF_PATH_MAX], aside[HF_PATH_MAX];
	struct hf_key **keys; /* sorted by name */
	size_t n, cap;
	/* Told of each generation that is gone from the disk, if it is not NULL. */
	void (*forget)(void *context, const struct hf_key *k, const struct hf_generation *g);
	void *context;
	unsigned set_aside; /* files and directories moved away since the start */
};

/* Reads the directory (making it if it is not there). HF_IO if that is not possible. */
enum hf_rc hf_catalogue_open(struct hf_catalogue *c, const char *state_dir, struct hf_err *e);
void hf_catalogue_close(struct hf_catalogue *c);

struct hf_key *hf_catalogue_find(const struct hf_catalogue *c, const char *name);
/* Index of the first key whose name is greater than @after. */
size_t hf_catalogue_after(const struct hf_catalogue *c, const char *after);
struct hf_found hf_catalogue_find_id(const struct hf_catalogue *c, const uint8_t id[HF_ID_SIZE]);
struct hf_generation *hf_key_generation(struct hf_key *k, const uint8_t id[HF_ID_SIZE]);

/* What a keeper made, for the catalogue. Views are copied. */
struct hf_made {
	const struct hf_algorithm *algorithm;
	struct hf_view spki, blob, creation_data, creation_hash, creation_ticket;
	const uint8_t *id;
	const uint8_t *transaction; /* 16 bytes or NULL */
	bool imported;
	bool outside; /* its file came from elsewhere */
};

/* Each of these is durable on disk when it returns HF_OK, and has changed nothing otherwise. */
enum hf_rc hf_catalogue_create(struct hf_catalogue *c, const char *name, const char *token,
			       unsigned usage, const struct hf_made *made, struct hf_key **out,
			       struct hf_err *e);
enum hf_rc hf_catalogue_stage(struct hf_catalogue *c, struct hf_key *k, const struct hf_made *made,
			      struct hf_err *e);
/* The one that was current retires at @now + @grace_s. */
enum hf_rc hf_catalogue_make_current(struct hf_catalogue *c, struct hf_key *k,
				     struct hf_generation *g, uint64_t now, uint32_t grace_s,
				     struct hf_err *e);
enum hf_rc hf_catalogue_retire(struct hf_catalogue *c, struct hf_key *k, struct hf_generation *g,
			       struct hf_err *e);
enum hf_rc hf_catalogue_delete(struct hf_catalogue *c, struct hf_key *k, struct hf_err *e);
enum hf_rc hf_catalogue_set_issuer(struct hf_catalogue *c, struct hf_key *k, uint64_t not_after,
				   struct hf_view subject, struct hf_err *e);

enum hf_rc hf_catalogue_set_exported(struct hf_catalogue *c, struct hf_key *k, struct hf_err *e);

/* From the record on disk, which is read once in a key's life or never: nobody keeps it. */
enum hf_rc hf_catalogue_evidence(const struct hf_catalogue *c, const struct hf_key *k,
				 const struct hf_generation *g, struct hf_buf *data,
				 struct hf_buf *ticket, struct hf_err *e);

/* Retires what is due at @now; returns when to come again, 0 for never. */
uint64_t hf_catalogue_collect(struct hf_catalogue *c, uint64_t now);

#endif
