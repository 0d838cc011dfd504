/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/launch.h"
#include "base/log.h"
#include "est/certs.h"

#define BUNDLE_MAX (1u << 20)
#define CERTS_MAX  256

/* By a clock that may be believed, also when it comes to throwing away. */
static bool has_ended(const struct hf_agent *a, X509 *cert)
{
	return hf_time_of(X509_get0_notAfter(cert)) <= hf_clock_ended(&a->clock);
}

/* Certificates that have not ended; also those whose time has not come. */
static void take(struct hf_agent *a, STACK_OF(X509) * to, STACK_OF(X509) * from)
{
	int i;

	for (i = 0; i < sk_X509_num(from); i++) {
		X509 *cert = sk_X509_value(from, i);
		int64_t end = hf_time_of(X509_get0_notAfter(cert));

		if (has_ended(a, cert))
			continue;
		if (end <= a->clock.wall)
			end = a->clock.wall + 60; /* when we know more */
		if (end < a->bundle_next)
			a->bundle_next = end;
		(void)hf_certs_add(to, cert);
	}
}

static void take_file(struct hf_agent *a, STACK_OF(X509) * to, const char *path, bool ours)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	HF_AUTO_BUF file = HF_BUF(BUNDLE_MAX);
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc = list ? hf_file_read(path, false, &file, &err) : HF_NO_MEMORY;

	if (!rc)
		rc = hf_certs_read((const char *)file.p, CERTS_MAX, list, &err);
	if (!rc)
		take(a, to, list);
	/* One of ours that has ended is of no use any more. */
	if (!rc && ours && sk_X509_num(list) && has_ended(a, sk_X509_value(list, 0)))
		(void)unlink(path);
	if (rc) {
		(void)snprintf(a->bundle_error, sizeof(a->bundle_error), "%.190s", err.msg);
		hf_log(HF_LOG_ERR, "trust bundle: %s", err.msg);
	}
	hf_certs_free(list);
}

/* The Edge CA's and the local CA's before the one of now. */
static void take_retired(struct hf_agent *a, STACK_OF(X509) * to)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	struct dirent *entry;
	DIR *d;

	if (hf_path_join(dir, a->settings->state_dir, "retired", NULL))
		return;
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		const char *end = strrchr(entry->d_name, '.');

		if (end && !strcmp(end, ".pem") && !hf_path_join(path, dir, entry->d_name, NULL))
			take_file(a, to, path, true);
	}
	if (d)
		(void)closedir(d);
}

/* Of the user's file; of one that is not there none. */
static struct timespec changed_at(const struct hf_agent *a)
{
	struct stat st;

	if (!a->settings->bundle.user_file[0] || stat(a->settings->bundle.user_file, &st))
		return (struct timespec){ 0, 0 };
	return st.st_ctim;
}

bool hf_bundle_is_stale(const struct hf_agent *a)
{
	struct timespec now = changed_at(a);

	return now.tv_sec != a->bundle_user.tv_sec || now.tv_nsec != a->bundle_user.tv_nsec;
}

static STACK_OF(X509) * collect(struct hf_agent *a)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	size_t i;

	if (!all)
		return NULL;
	a->bundle_error[0] = '\0';
	a->bundle_next = HF_NEVER;
	if (a->settings->bundle.user_file[0])
		take_file(a, all, a->settings->bundle.user_file, false);
	for (i = 0; i < a->n; i++) {
		struct hf_credential *c = &a->credentials[i];
		STACK_OF(X509) *one = sk_X509_new_null();

		if (!strcmp(c->conf->role, "edge_ca") && c->held.leaf && one &&
		    sk_X509_push(one, c->held.leaf) > 0)
			take(a, all, one);
		sk_X509_free(one);
	}
	take_retired(a, all);
	return all;
}

enum hf_rc hf_bundle_pem(struct hf_agent *a, struct hf_buf *pem, struct hf_err *e)
{
	STACK_OF(X509) *all = collect(a);

	a->bundle_n = all ? (size_t)sk_X509_num(all) : 0;
	if (all)
		hf_certs_write(all, pem);
	hf_certs_free(all);
	if (pem->bad || !all)
		return hf_fail(e, HF_NO_MEMORY, "trust bundle: too large, or out of memory");
	return a->bundle_n ? HF_OK : hf_fail(e, HF_NO_KEY, "there is no certificate to trust yet");
}

/* Into the operating system's store, if that is wanted and we are root. */
static void install(struct hf_agent *a)
{
	struct hf_launch_msg m = { .kind = HF_LAUNCH_STORE, .timeout_ms = 120000 };

	if (a->settings->bundle.system_store && geteuid() == 0 &&
	    hf_fd_send(a->control, &m, sizeof(m), -1) != (ssize_t)sizeof(m))
		hf_log(HF_LOG_ERR, "trust bundle: the launcher does not listen");
}

void hf_bundle_update(struct hf_agent *a)
{
	HF_AUTO_BUF pem = HF_BUF(BUNDLE_MAX), old = HF_BUF(BUNDLE_MAX);
	const char *path = a->settings->bundle.file;
	struct hf_err err = HF_ERR_INIT;

	a->changed = true;
	a->bundle_user = changed_at(a);
	if (!path[0] || hf_bundle_pem(a, &pem, &err))
		return;
	if (!hf_file_read(path, false, &old, &err) && old.n == pem.n &&
	    !memcmp(old.p, pem.p, pem.n))
		return;
	if (!hf_file_replace(path, pem.p, pem.n, 0644, &err)) {
		hf_log(HF_LOG_NOTICE, "trust bundle %s: %zu certificates", path, a->bundle_n);
		install(a);
		return;
	}
	(void)snprintf(a->bundle_error, sizeof(a->bundle_error), "%.190s", err.msg);
	hf_log(HF_LOG_ERR, "trust bundle: %s", err.msg);
}
