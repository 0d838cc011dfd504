/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h: the files of one key as text: key.json and the record of a generation.
 * Reading is bounded and strict; nothing here touches the disk.
 */
#ifndef HF_BROKER_RECORD_H
#define HF_BROKER_RECORD_H

#include "broker/catalogue.h"

#define HF_RECORD_MAX 65536u

/* key.json: everything of @k but its generations; retire_at of those that are retiring. */
void hf_record_write_key(const struct hf_key *k, struct hf_buf *out);
/*
 * Into @k, whose generations have been read before: sets current and retire_at.
 * HF_CORRUPT if it is not what hf_record_write_key() writes, or names what is not there.
 */
enum hf_rc hf_record_read_key(struct hf_key *k, struct hf_view text, struct hf_err *e);

void hf_record_write_generation(const struct hf_generation *g, const struct hf_made *made,
				struct hf_buf *out);
/* All of @g but its blob. */
enum hf_rc hf_record_read_generation(struct hf_generation *g, struct hf_view text,
				     struct hf_err *e);

/* What the token said when it made the generation; both empty if it was not made there. */
enum hf_rc hf_record_read_evidence(struct hf_view text, struct hf_buf *data, struct hf_buf *ticket,
				   struct hf_err *e);

#endif
