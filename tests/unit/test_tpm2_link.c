/* SPDX-License-Identifier: Apache-2.0 */
/* What callers find in an answer that never came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "keeper/tpm2_link.h"

static void nothing_is_read_of_no_answer(void **state)
{
	static struct hf_tpm2_link link; /* not connected: the command cannot be sent */
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;

	(void)state;
	memset(&rsp, 0xa5, sizeof(rsp));
	hf_tpm2_cmd_init(&c, TPM2_CC_ReadPublic, 0x81000001, 0);
	assert_int_not_equal(hf_tpm2_call(&link, &c, &rsp, NULL), 0);
	assert_true(rsp.params.bad);
	assert_int_equal(hf_rd16(&rsp.params), 0);
	assert_int_equal(hf_rd_2b(&rsp.params).n, 0);
	assert_false(hf_rd_end(&rsp.params));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_read_of_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
