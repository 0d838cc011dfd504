/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holdfast-keeper: holds one token for the broker, which it talks to on descriptor 3.
 * It knows no client, opens no file (a TCTI may), and has no configuration but what
 * the broker tells it. It may be killed at any time; the next one starts clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "keeper/keeper.h"

#define BROKER_FD 3

static volatile int stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void set_signals(void)
{
	struct sigaction term = { .sa_handler = on_term }, ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGTERM, &term, NULL);
	(void)sigaction(SIGINT, &term, NULL);
	/* A TCTI writes to a socket whose peer may have died. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

/*
 * The numbers after the broker's are those of a PIN and of the record of logins. Where there is
 * none, nothing that a module opens may get its number: it would be read as a PIN, or written to.
 */
static bool claim(void)
{
	int fd;

	for (fd = BROKER_FD + 1; fd <= BROKER_FD + 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && dup2(BROKER_FD, fd) < 0)
			return false;
	for (fd = BROKER_FD; fd <= BROKER_FD + 2; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct hf_err e = HF_ERR_INIT;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		(void)printf("holdfast-keeper %s\n", HF_VERSION);
		return 0;
	}
	hf_log_init("holdfast-keeper", HF_LOG_INFO);
	hf_process_harden();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	set_signals();
	/* No openssl.cnf: it might load our own provider, which would ask the broker, which asks
	 * us. */
	if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL)) {
		hf_log(HF_LOG_ERR, "libcrypto does not start");
		return 1;
	}
	if (argc > 1 || fcntl(BROKER_FD, F_GETFD) < 0) {
		hf_log(HF_LOG_ERR,
		       "started by holdfastd, with its socket as descriptor 3; not by hand");
		return 2;
	}
	if (!claim()) {
		hf_log(HF_LOG_ERR, "descriptors: %s", strerror(errno));
		return 1;
	}
	if (hf_keeper_serve(BROKER_FD, &stop, &e)) {
		hf_log(HF_LOG_ERR, "%s", e.msg);
		return 1;
	}
	return 0;
}
