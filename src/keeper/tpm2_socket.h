/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_socket.h: a TCTI for swtpm on a UNIX socket, `swtpm:path=PATH`.
 *
 * The one that comes with tpm2-tss connects anew for each command (a tenth of the time
 * of a P-256 signature) and cannot be waited for with a limit. This one keeps its
 * connection and can; it needs no control socket.
 */
#ifndef HF_KEEPER_TPM2_SOCKET_H
#define HF_KEEPER_TPM2_SOCKET_H

#include <tss2/tss2_tcti.h>

/* NULL if @conf is another TCTI's. */
const char *hf_tpm2_socket_path(const char *conf);

/* A TSS2_RC; Tss2_Tcti_Finalize() and then free() undo it. */
TSS2_RC hf_tpm2_socket_open(const char *path, TSS2_TCTI_CONTEXT **out);

#endif
