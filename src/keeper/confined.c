/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/confined.h"

#include <string.h>
#include <unistd.h>

#include "confine/confine.h"

/* "device:/dev/tpmrm0": that device alone, if it is there now; else it may come later. */
static const char *device_of(const char *tcti)
{
	if (strncmp(tcti, "device:", 7) || access(tcti + 7, F_OK))
		return "/dev";
	return tcti + 7;
}

enum hf_rc hf_keeper_confine(const hf_KeeperOpen *conf, struct hf_err *e)
{
	const struct hf_confine_place places[] = {
		{ "/usr", false },
		{ "/lib", false },
		{ "/lib64", false },
		{ "/etc", false },
		{ device_of(conf->tcti), true },
		{ "/dev/urandom", false },
		{ "/dev/null", true },
		{ "/proc/sys/crypto", false },
	};
	/* Threads: the TCTI of tpm2-abrmd has one for D-Bus. */
	struct hf_confine c = { .name = "keeper",
				.sets = HF_CONFINE_READ | HF_CONFINE_DEVICE | HF_CONFINE_UNIX |
					HF_CONFINE_THREAD,
				.places = places,
				.n_places = HF_COUNT(places) };

	if (strcmp(conf->type, "tpm2"))
		return HF_OK;
	if (strstr(conf->tcti, "host=") || !strncmp(conf->tcti, "mssim", 5))
		c.sets |= HF_CONFINE_INET;
	return hf_confine(&c, e);
}
