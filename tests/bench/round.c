/* SPDX-License-Identifier: Apache-2.0 */
#include "round.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define OPS_MAX 2000000

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

bool hf_round_run(double seconds, bool (*op)(void *), void *arg)
{
	float *took = malloc(OPS_MAX * sizeof(*took));
	double start, end, before, spent;
	char line[8];
	int n = 0;
	bool ok = took != NULL;

	(void)puts("ready");
	(void)fflush(stdout);
	ok = ok && fgets(line, sizeof(line), stdin);
	spent = cpu();
	start = before = end = now();
	while (ok && end - start < seconds && n < OPS_MAX) {
		ok = op(arg);
		end = now();
		took[n++] = (float)(end - before);
		before = end;
	}
	spent = cpu() - spent;
	if (ok) {
		qsort(took, (size_t)n, sizeof(*took), ascending);
		printf("{\"ops\": %d, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
		       "\"cpu_us\": %.1f}\n",
		       n, end - start, (double)took[n / 2] * 1e6,
		       (double)took[(int)((double)n * 0.99)] * 1e6, spent / n * 1e6);
	}
	free(took);
	return ok;
}
