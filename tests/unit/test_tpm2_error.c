/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <tss2/tss2_common.h>

#include "base/buf.h"
#include "keeper/tpm2_error.h"

static const struct {
	uint32_t code;
	enum hf_tpm2_class class;
	enum hf_rc rc;
} rows[] = {
	{ 0x100, HF_TPM2_RESTART, HF_UNAVAILABLE }, /* not started */
	{ 0x101, HF_TPM2_DEGRADED, HF_UNAVAILABLE },
	{ 0x901, HF_TPM2_ROOM, HF_BUSY }, /* session counter gap */
	{ 0x902, HF_TPM2_ROOM, HF_BUSY }, /* objects */
	{ 0x903, HF_TPM2_ROOM, HF_BUSY }, /* sessions */
	{ 0x908, HF_TPM2_RETRY, HF_BUSY },
	{ 0x909, HF_TPM2_RETRY, HF_BUSY },
	{ 0x90a, HF_TPM2_RETRY, HF_BUSY },
	{ 0x910, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ 0x916, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ 0x918, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ 0x920, HF_TPM2_RETRY, HF_BUSY },
	{ 0x921, HF_TPM2_LOCKOUT, HF_LOCKOUT },
	{ 0x922, HF_TPM2_RETRY, HF_BUSY },
	{ 0x923, HF_TPM2_RETRY, HF_BUSY },
	{ 0x08b, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ 0x18b, HF_TPM2_RELOAD, HF_UNAVAILABLE }, /* of handle 1 */
	{ 0x28b, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ 0x98e, HF_TPM2_FINAL, HF_DENIED }, /* session 1: never repeated, it counts */
	{ 0x9a2, HF_TPM2_FINAL, HF_DENIED },
	{ 0x1df, HF_TPM2_FINAL, HF_GONE }, /* integrity, parameter 1 */
	{ 0x0dc, HF_TPM2_FINAL, HF_FAILED }, /* key, a parameter */
	{ 0x2d2, HF_TPM2_FINAL, HF_UNSUPPORTED }, /* scheme, parameter 2 */
	{ 0x14c, HF_TPM2_FINAL, HF_EXISTS },
	{ 0x143, HF_TPM2_FINAL, HF_UNSUPPORTED },
	{ TSS2_RESMGR_TPM_RC_LAYER | 0x922, HF_TPM2_RETRY, HF_BUSY },
	{ TSS2_RESMGR_RC_LAYER | 0x910, HF_TPM2_RELOAD, HF_UNAVAILABLE },
	{ TSS2_RESMGR_TPM_RC_LAYER | 0x1df, HF_TPM2_FINAL, HF_GONE },
	{ TSS2_TCTI_RC_IO_ERROR, HF_TPM2_RESTART, HF_UNAVAILABLE },
	{ TSS2_TCTI_RC_TRY_AGAIN, HF_TPM2_DEGRADED, HF_TIMEOUT },
	{ TSS2_TCTI_RC_NO_CONNECTION, HF_TPM2_RESTART, HF_UNAVAILABLE },
	{ TSS2_TCTI_RC_MALFORMED_RESPONSE, HF_TPM2_RESTART, HF_UNAVAILABLE },
	{ TSS2_TCTI_RC_GENERAL_FAILURE, HF_TPM2_RESTART, HF_UNAVAILABLE },
	{ HF_TPM2_RC_FORGED, HF_TPM2_FINAL, HF_FAILED },
	{ 0x12f, HF_TPM2_FINAL, HF_FAILED }, /* not in the table */
	{ 0xffffffff, HF_TPM2_RESTART, HF_UNAVAILABLE },
};

static void test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		const struct hf_tpm2_meaning *m = hf_tpm2_meaning(rows[i].code);

		if (m->class != rows[i].class || m->rc != rows[i].rc)
			fail_msg("0x%x: class %d, rc %d", rows[i].code, m->class, m->rc);
	}
}

/* Whatever comes out of a TPM has a meaning, and only what may pass is repeated. */
static void test_every_tpm_code(void **state)
{
	uint32_t code;

	(void)state;
	for (code = 1; code < 0x1000; code++) {
		const struct hf_tpm2_meaning *m = hf_tpm2_meaning(code);

		assert_non_null(m);
		assert_true(m->text && m->text[0]);
		assert_int_not_equal(m->rc, HF_OK);
		if (m->class == HF_TPM2_RETRY)
			assert_int_equal(m->rc, HF_BUSY);
		if ((code & 0x80) && (code & 0x3f) == 0x0e) /* AUTH_FAIL, wherever */
			assert_int_equal(m->class, HF_TPM2_FINAL);
	}
}

static void test_base(void **state)
{
	(void)state;
	assert_int_equal(hf_tpm2_code_base(0x1df), 0x9f);
	assert_int_equal(hf_tpm2_code_base(0x98e), 0x8e);
	assert_int_equal(hf_tpm2_code_base(0x922), 0x922);
	assert_int_equal(hf_tpm2_code_base(0x100), 0x100);
	assert_int_equal(hf_tpm2_code_base(TSS2_TCTI_RC_IO_ERROR), TSS2_TCTI_RC_IO_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_tpm_code),
		cmocka_unit_test(test_base),
	};

	return cmocka_run_group_tests_name("tpm2_error", tests, NULL, NULL);
}
