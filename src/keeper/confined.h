/* SPDX-License-Identifier: Apache-2.0 */
/* confined.h: what a keeper gives up once it knows its token. */
#ifndef HF_KEEPER_CONFINED_H
#define HF_KEEPER_CONFINED_H

#include "base/err.h"
#include "wire/packet.h"

/*
 * A TPM's keeper keeps libraries and the device. A PKCS#11 module is somebody else's code, of which
 * nobody knows what it needs: it has what the warden has left to it, unless the configuration
 * knows better.
 */
enum hf_rc hf_keeper_confine(const hf_KeeperOpen *conf, struct hf_err *e);

#endif
