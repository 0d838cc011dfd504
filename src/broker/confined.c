/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/confined.h"

#include <string.h>

#include "base/file.h"
#include "confine/confine.h"

enum hf_rc hf_warden_confine(struct hf_err *e)
{
	const struct hf_confine c = { .name = "warden" };

	return hf_confine(&c, e);
}

enum hf_rc hf_broker_confine(const char *state_dir, const char *config, struct hf_err *e)
{
	char directory[HF_PATH_MAX];
	/* The directory: a new configuration is another file of the same name. */
	struct hf_confine_place places[] = {
		{ state_dir, true },
		{ directory, false },
		{ "/etc/localtime", false },
		{ "/usr/share/zoneinfo", false },
	};
	const struct hf_confine c = { .name = "broker",
				      .sets = HF_CONFINE_READ | HF_CONFINE_WRITE,
				      .places = places,
				      .n_places = HF_COUNT(places) };
	char *slash;

	if (!hf_copy(directory, sizeof(directory), config))
		return hf_fail(e, HF_ARGUMENT, "%.60s...: too long a path", config);
	slash = strrchr(directory, '/');
	if (!slash)
		(void)hf_copy(directory, sizeof(directory), ".");
	else
		slash[slash == directory] = '\0';
	return hf_confine(&c, e);
}
