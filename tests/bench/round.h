/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round.h: one round of a benchmark. A program gets ready, says so, waits for a line on
 * standard input (so that several start together), works for a while and prints JSON.
 */
#ifndef HF_BENCH_ROUND_H
#define HF_BENCH_ROUND_H

#include <stdbool.h>

/* Repeats @op for @seconds (of the clock). False if one failed: then nothing is printed. */
bool hf_round_run(double seconds, bool (*op)(void *), void *arg);

#endif
