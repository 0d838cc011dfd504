/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent proper gives up: networks, programs, and the files that are not its business. */
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "confine/confine.h"

/* The directory that @path is in. */
static const char *directory_of(char *out, const char *path)
{
	char *slash;

	(void)hf_copy(out, HF_PATH_MAX, path);
	slash = strrchr(out, '/');
	if (slash)
		slash[slash == out] = '\0';
	return out;
}

/* The call that asks for the clock's state also sets it, and a filter cannot tell which. */
static void give_up_the_clock(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		return;
	caps[CAP_TO_INDEX(CAP_SYS_TIME)].effective &= ~CAP_TO_MASK(CAP_SYS_TIME);
	caps[CAP_TO_INDEX(CAP_SYS_TIME)].permitted &= ~CAP_TO_MASK(CAP_SYS_TIME);
	(void)syscall(SYS_capset, &head, caps);
}

enum hf_rc hf_agent_confine(const struct hf_agent *a, struct hf_err *e)
{
	const struct hf_agent_settings *s = a->settings;
	/* The whole file system to read (trust files and passwords are anywhere); few to write. */
	size_t i, n = 0, max = 8 + 3 * s->n_credentials;
	struct hf_confine_place *places = calloc(max, sizeof(*places));
	char(*dirs)[HF_PATH_MAX] = calloc(max, sizeof(*dirs));
	struct hf_confine c = { .name = "agent",
				.sets = HF_CONFINE_READ | HF_CONFINE_WRITE | HF_CONFINE_UNIX |
					HF_CONFINE_THREAD | HF_CONFINE_CLOCK,
				.places = places };
	enum hf_rc rc = HF_NO_MEMORY;

	if (places && dirs) {
		places[n++] = (struct hf_confine_place){ "/", false };
		places[n++] = (struct hf_confine_place){ s->state_dir, true };
		places[n++] = (struct hf_confine_place){ s->run_dir, true };
		places[n++] = (struct hf_confine_place){ s->certs_dir, true };
		if (s->bundle.file[0]) {
			places[n] =
				(struct hf_confine_place){ directory_of(dirs[n], s->bundle.file),
							   true };
			n++;
		}
		for (i = 0; i < s->n_credentials; i++) {
			const char *file = s->credentials[i].file;
			const char *ref = s->credentials[i].reference;
			const char *cas = s->credentials[i].est.cacerts_file;

			places[n] = (struct hf_confine_place){ directory_of(dirs[n], file), true };
			n++;
			if (ref[0]) {
				places[n] = (struct hf_confine_place){ directory_of(dirs[n], ref),
								       true };
				n++;
			}
			if (cas[0]) {
				places[n] = (struct hf_confine_place){ directory_of(dirs[n], cas),
								       true };
				n++;
			}
		}
		c.n_places = n;
		give_up_the_clock();
		rc = hf_confine(&c, e);
	}
	free(dirs);
	free(places);
	return rc;
}
