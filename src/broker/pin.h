/* SPDX-License-Identifier: Apache-2.0 */
/* pin.h: which TPM a token is: the Name of its primary key, recorded at first contact. */
#ifndef HF_BROKER_PIN_H
#define HF_BROKER_PIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Reads the pin into @out; its length, 0 if none was recorded. A file that is
 * there and damaged sets @e, and gives a pin that no TPM has: a damaged pin must
 * not become a new first contact.
 */
size_t hf_pin_read(const char *state_dir, const char *token, uint8_t *out, size_t size,
		   struct hf_err *e);
enum hf_rc hf_pin_write(const char *state_dir, const char *token, const uint8_t *p, size_t n,
			struct hf_err *e);

#endif
