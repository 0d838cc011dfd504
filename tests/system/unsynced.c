/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a kernel that says what HOLDFAST_TEST_NTP says of its clock: "yes", "no", or a
 * path, where it is synchronised while there is such a file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

__attribute__((visibility("default"))) int adjtimex(struct timex *tx)
{
	const char *synced = getenv("HOLDFAST_TEST_NTP");

	memset(tx, 0, sizeof(*tx));
	tx->status = synced && (!strcmp(synced, "yes") || !access(synced, F_OK)) ? STA_PLL
										 : STA_UNSYNC;
	return TIME_OK;
}
