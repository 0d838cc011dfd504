/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TPM that answers whatever it likes. The input: one byte, what is asked of it; then pieces, each
 * behind its length in two bytes: a key's file, its SubjectPublicKeyInfo, and the answers. When they are used up the TPM is
 * gone. The corpus was recorded from swtpm.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <tss2/tss2_tctildr.h>

#include "keeper/backend.h"
#include "keeper/tpm2_public.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct hf_view answers;

/* The next piece of the input, cut to @max bytes. */
static struct hf_view next(size_t max)
{
	struct hf_view piece = { answers.p, 0 };
	size_t len;

	if (answers.n < 2)
		return piece;
	len = (size_t)(answers.p[0] << 8 | answers.p[1]);
	len = len > answers.n - 2 ? answers.n - 2 : len;
	piece = (struct hf_view){ answers.p + 2, len < max ? len : max };
	answers = (struct hf_view){ answers.p + 2 + len, answers.n - 2 - len };
	return piece;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *c, size_t n, const uint8_t *p)
{
	(void)c;
	if (n < 10 || (uint32_t)(p[2] << 24 | p[3] << 16 | p[4] << 8 | p[5]) != n)
		abort(); /* what we send is well formed, whatever the TPM has said before */
	return 0;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *c, size_t *n, uint8_t *p, int32_t timeout)
{
	struct hf_view answer;

	(void)c;
	(void)timeout;
	if (answers.n < 2)
		return TSS2_TCTI_RC_IO_ERROR;
	answer = next(*n);
	memcpy(p, answer.p, answer.n);
	*n = answer.n;
	return 0;
}

static TSS2_TCTI_CONTEXT_COMMON_V2 tcti = {
	.v1 = { .magic = 1, .version = 2, .transmit = transmit, .receive = receive },
};

/* In place of tpm2-tss's. */
TSS2_RC Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **out)
{
	(void)name;
	*out = (TSS2_TCTI_CONTEXT *)&tcti;
	return 0;
}

void Tss2_TctiLdr_Finalize(TSS2_TCTI_CONTEXT **c)
{
	*c = NULL;
}

/* A TPM that says RETRY is asked again later; not here. */
int nanosleep(const struct timespec *t, struct timespec *left)
{
	(void)t;
	(void)left;
	return 0;
}

static void sign(struct hf_backend *b, const hf_KeeperKey *key)
{
	static struct hf_sign_job job;
	struct hf_err e = HF_ERR_INIT;

	memset(&job, 0, sizeof(job));
	job.key = key;
	job.scheme = hf_scheme_find("ecdsa-sha256");
	job.digest_len = 32;
	if (!b->ops->sign_start(b, &job, &e) && !b->ops->sign_finish(b, &job, &e) &&
	    (!job.sig_len || job.sig_len > sizeof(job.sig)))
		abort();
	hf_public_free(job.pub);
}

/* A keeper looks for its token first. What runs in a session ends at the answer's HMAC. */
static void ask(struct hf_backend *b, unsigned what, hf_KeeperKey *key)
{
	static hf_KeeperOpened opened;
	static hf_KeeperCreated created;
	static hf_WrapInfo wrap;
	static const hf_KeeperCreate ec = { .algorithm = "ec-p256", .usage = 1 },
				     rsa = { .algorithm = "rsa-2048", .usage = 1 };
	struct hf_err e = HF_ERR_INIT;

	memset(&opened, 0, sizeof(opened));
	memset(&created, 0, sizeof(created));
	(void)b->ops->probe(b, &opened, &e);
	if (what == 1)
		(void)b->ops->create(b, &ec, &created, &e);
	else if (what == 2)
		(void)b->ops->create(b, &rsa, &created, &e);
	else if (what == 3)
		(void)b->ops->provision(b, &opened, &e);
	else if (what == 4)
		(void)b->ops->wrap(b, &wrap, &e);
	else if (what)
		sign(b, key);
}

static void fuzz_public_area(struct hf_view in)
{
	HF_AUTO_BUF spki = HF_BUF(4096);
	struct hf_tpm2_public pub;
	struct hf_err e = HF_ERR_INIT;

	if (!hf_tpm2_public_read(in, &pub, &e))
		(void)hf_tpm2_public_spki(&pub, &spki, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static hf_KeeperOpen conf = { .type = "tpm2", .tcti = "fuzz", .primary_handle = 0x81000001 };
	static hf_KeeperKey key;
	struct hf_err e = HF_ERR_INIT;
	struct hf_backend *b;
	struct hf_view file;
	unsigned i;

	if (!n)
		return 0;
	answers = (struct hf_view){ p + 1, n - 1 };
	if (p[0] % 8 == 7) {
		fuzz_public_area(answers);
		ERR_clear_error();
		return 0;
	}
	file = next(sizeof(key.blob.bytes));
	memcpy(key.blob.bytes, file.p, file.n);
	key.blob.size = (pb_size_t)file.n;
	file = next(sizeof(key.spki.bytes));
	memcpy(key.spki.bytes, file.p, file.n);
	key.spki.size = (pb_size_t)file.n;
	key.spki_sha256.size = 32;
	if (hf_hash("SHA2-256", file, key.spki_sha256.bytes, &e))
		abort();
	key.usage = 1;
	if (hf_tpm2_ops.open(&b, &conf, &e))
		abort();
	for (i = 0; i < 2; i++) /* what was learned stays: handles, contexts, a primary */
		ask(b, p[0] % 8, &key);
	hf_tpm2_ops.close(b);
	ERR_clear_error();
	return 0;
}
