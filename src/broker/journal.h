/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h: what a ca key has issued. Append only, one file per key; a line is on
 * disk before the signature leaves. Serial numbers are never issued twice.
 */
#ifndef HF_BROKER_JOURNAL_H
#define HF_BROKER_JOURNAL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

struct hf_issued {
	uint8_t serial[20];
	uint8_t n_serial;
	uint8_t tbs_sha256[32];
	uint8_t spki_sha256[32];
	uint64_t not_after;
	const char *subject;
};

struct hf_journal {
	struct hf_journal *next;
	char key[64];
	int fd;
	struct hf_serial *slots; /* open addressing */
	size_t n, cap;
};

struct hf_journals {
	char dir[HF_PATH_MAX];
	struct hf_journal *first;
};

enum hf_rc hf_journals_open(struct hf_journals *j, const char *state_dir, struct hf_err *e);
void hf_journals_close(struct hf_journals *j);

/*
 * Records one certificate of @key, durably. The same serial with the same
 * TBSCertificate again is fine and writes nothing (the client lost the answer);
 * with another one it is HF_REFUSED.
 */
enum hf_rc hf_journals_add(struct hf_journals *j, const char *key, const struct hf_issued *i,
			   struct hf_err *e);

#endif
