/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/anchors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "est/certs.h"
#include "est/est.h"

#define HEAD "trust "	   /* the first line: PEM has room for it */
#define BARE "-----BEGIN " /* an older version wrote none */

bool hf_anchors_trust(const struct hf_est_conf *est, const char *pem, char trust[65])
{
	HF_AUTO_BUF all = HF_BUF(2 * HF_ANCHORS_MAX);
	const char *texts[] = { est->url, est->trust.mode, est->trust.sha256, pem };
	unsigned char hash[32];
	size_t i;

	for (i = 0; i < HF_COUNT(texts); i++)
		hf_buf_add(&all, texts[i], strlen(texts[i]) + 1);
	(void)hf_copy(trust, 65, "");
	if (all.bad || !EVP_Q_digest(NULL, "SHA256", NULL, all.p, all.n, hash, NULL))
		return false;
	(void)hf_hex(trust, 65, hash, sizeof(hash));
	return true;
}

static enum hf_rc path_of(const struct hf_agent *a, const struct hf_credential *c,
			  char out[HF_PATH_MAX], struct hf_err *e)
{
	char name[HF_ID_SIZE + 16];

	(void)snprintf(name, sizeof(name), "%s.anchors.pem", c->conf->id);
	return hf_path_join(out, a->settings->state_dir, name, e);
}

/* A certificate that cannot be read makes holdfast-est refuse the whole job. */
static enum hf_rc check(const char *pem, struct hf_err *e)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	enum hf_rc rc = list ? hf_certs_read(pem, HF_EST_ANCHORS_MAX, list, e)
			     : hf_fail(e, HF_NO_MEMORY, "out of memory");

	hf_certs_free(list);
	return rc;
}

static void set_aside(const struct hf_credential *c, const char *path, const char *why)
{
	char aside[HF_PATH_MAX + 16];

	(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
	if (rename(path, aside))
		(void)hf_copy(aside, sizeof(aside), strerror(errno));
	hf_log(HF_LOG_ERR,
	       "certificate %s: the CA certificates of its EST server, %s: %s; set aside (%s), "
	       "what "
	       "is configured goes on",
	       c->conf->id, path, why, aside);
}

void hf_anchors_load(const struct hf_agent *a, const struct hf_credential *c, const char trust[65],
		     struct hf_buf *pem)
{
	HF_AUTO_BUF file = HF_BUF(HF_ANCHORS_MAX + 128);
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX], head[80];
	const char *text;
	size_t n = (size_t)snprintf(head, sizeof(head), HEAD "%s\n", trust);
	enum hf_rc rc;

	if (path_of(a, c, path, NULL))
		return;
	hf_file_sweep(path);
	if (access(path, F_OK))
		return;
	rc = hf_file_read(path, true, &file, &err);
	text = file.p ? (const char *)file.p : "";
	if (!rc && strlen(text) != file.n)
		rc = hf_fail(&err, HF_CORRUPT, "it is no PEM");
	if (!strncmp(text, BARE, strlen(BARE)))
		n = 0; /* what it came by is not known: as before the update, that goes on */
	if (!rc && strncmp(text, head, n) != 0) {
		hf_log(HF_LOG_NOTICE,
		       "certificate %s: its EST server, or what is trusted for it, is another one "
		       "than before; the CA certificates that came before are forgotten",
		       c->conf->id);
		(void)unlink(path);
		return;
	}
	if (!rc)
		rc = check(text + n, &err);
	if (rc)
		set_aside(c, path, err.msg);
	else
		hf_buf_str(pem, text + n);
}

void hf_anchors_save(const struct hf_agent *a, const struct hf_credential *c, const char trust[65],
		     const char *pem)
{
	HF_AUTO_BUF text = HF_BUF(HF_ANCHORS_MAX + 128);
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX];
	enum hf_rc rc = HF_OK;

	hf_buf_fmt(&text, HEAD "%s\n", trust);
	if (strlen(pem) <= HF_ANCHORS_MAX)
		hf_buf_str(&text, pem);
	else
		rc = hf_fail(&err, HF_ARGUMENT, "they are longer than %u bytes", HF_ANCHORS_MAX);
	if (!rc && text.bad)
		rc = hf_fail(&err, HF_NO_MEMORY, "out of memory");
	if (!rc)
		rc = path_of(a, c, path, &err);
	if (rc || hf_file_replace(path, text.p, text.n, 0600, &err))
		hf_log(HF_LOG_ERR,
		       "certificate %s: the server's CA certificates cannot be remembered: %s",
		       c->conf->id, err.msg);
}

void hf_anchors_give(const struct hf_credential *c, const char *pem)
{
	const char *path = c->conf->est.cacerts_file;
	HF_AUTO_BUF old = HF_BUF(4 * HF_ANCHORS_MAX);
	struct hf_err err = HF_ERR_INIT;

	if (path[0])
		hf_file_sweep(path); /* what a crash has left beside it */
	if (!path[0] || (!hf_file_read(path, false, &old, NULL) && old.n == strlen(pem) &&
			 !memcmp(old.p, pem, old.n)))
		return;
	if (hf_file_replace(path, pem, strlen(pem), 0644, &err))
		hf_log(HF_LOG_ERR, "certificate %s: the CA certificates of its EST server: %s",
		       c->conf->id, err.msg);
	else
		hf_log(HF_LOG_NOTICE,
		       "certificate %s: %s has the CA certificates of its EST server", c->conf->id,
		       path);
}
