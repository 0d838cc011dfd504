/* SPDX-License-Identifier: Apache-2.0 */
/* wanted.h: is a certificate the one that the configuration asks for? Pure. */
#ifndef HF_AGENT_WANTED_H
#define HF_AGENT_WANTED_H

#include <openssl/x509.h>

#include "agent/settings.h"

/*
 * @list: as it came, leaf first. HF_REFUSED: what follows has not issued the one before; a CA has
 * another path length; one that is made here has other names. What an EST server makes of names
 * was judged by holdfast-est, which knows what was in the request (its template, a renewal's old
 * names, what is tolerated); but a device's identity has the device's name, whatever was tolerated.
 */
enum hf_rc hf_wanted_check(const struct hf_credential_conf *c, STACK_OF(X509) * list,
			   struct hf_err *e);

#endif
