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

/* What the configuration may leave to a module, as it knows which one that is. */
static enum hf_rc confine_module(const char *how, struct hf_err *e)
{
	static const struct {
		const char *name;
		unsigned sets;
	} hows[] = { { "local", 0 },
		     { "device", HF_CONFINE_DEVICE },
		     { "network", HF_CONFINE_INET } };
	struct hf_confine c = { .name = "keeper" };
	size_t i;

	if (!how[0]) /* of a module that nobody knows: what is denied to all, once more */
		return hf_confine(&c, e);
	for (i = 0; i < HF_COUNT(hows) && strcmp(hows[i].name, how); i++)
		;
	if (i == HF_COUNT(hows))
		return hf_fail(e, HF_ARGUMENT, "confine: '%s' is none of local, device, network",
			       how);
	c.sets = HF_CONFINE_READ | HF_CONFINE_WRITE | HF_CONFINE_UNIX | HF_CONFINE_THREAD |
		 hows[i].sets;
	return hf_confine(&c, e);
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
		return confine_module(conf->confine, e);
	if (strstr(conf->tcti, "host=") || !strncmp(conf->tcti, "mssim", 5))
		c.sets |= HF_CONFINE_INET;
	return hf_confine(&c, e);
}
