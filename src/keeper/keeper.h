/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h: the requests of the broker, answered one after the other and in order.
 * Independent of the kind of token.
 */
#ifndef HF_KEEPER_KEEPER_H
#define HF_KEEPER_KEEPER_H

#include "base/err.h"

/*
 * Serves @fd until its peer closes it or *@stop becomes true (SIGTERM, which has to be
 * blocked and is let in only while nothing is going on). Leaves nothing in the token.
 */
enum hf_rc hf_keeper_serve(int fd, const volatile int *stop, struct hf_err *e);

#endif
