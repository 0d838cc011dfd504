/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-esapi TCTI ec-p256|rsa-2048 KEYFILE SECONDS [verify] [kept]: what the TPM gives to a
 * program that has it for itself. A loop over Esys_Sign with a key that stays loaded, and with
 * "verify" a look at each signature, as a keeper takes it. KEYFILE is made if it is not there.
 * The TCTI is that of tpm2-tss, which connects anew for every command; "kept": the keeper's own,
 * which keeps its connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "keeper/tpm2_cmd.h"
#include "keeper/tpm2_socket.h"
#include "round.h"

struct raw {
	ESYS_CONTEXT *esys;
	ESYS_TR primary, key;
	struct {
		TPM2B_PRIVATE private;
		TPM2B_PUBLIC public;
	} file;
	TPMT_SIG_SCHEME scheme;
	TPM2B_DIGEST digest;
	EVP_PKEY *pub;
	EVP_PKEY_CTX *verifier; /* NULL: signatures are not looked at */
};

static bool ok(TSS2_RC rc, const char *what)
{
	if (rc)
		(void)fprintf(stderr, "bench-esapi: %s: 0x%x\n", what, (unsigned)rc);
	return !rc;
}

#define PROTECTED                                                                                  \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |        \
	 TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)

static const TPM2B_PUBLIC storage = {
	.publicArea = { .type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes =
				PROTECTED | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
			.parameters.eccDetail = { .symmetric = { TPM2_ALG_AES, .keyBits.aes = 128,
								 .mode.aes = TPM2_ALG_CFB },
						  .scheme.scheme = TPM2_ALG_NULL,
						  .curveID = TPM2_ECC_NIST_P256,
						  .kdf.scheme = TPM2_ALG_NULL } }
};
static const TPM2B_PUBLIC ec_key = {
	.publicArea = { .type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = PROTECTED | TPMA_OBJECT_SIGN_ENCRYPT,
			.parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
						  .scheme.scheme = TPM2_ALG_NULL,
						  .curveID = TPM2_ECC_NIST_P256,
						  .kdf.scheme = TPM2_ALG_NULL } }
};
static const TPM2B_PUBLIC rsa_key = {
	.publicArea = { .type = TPM2_ALG_RSA,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = PROTECTED | TPMA_OBJECT_SIGN_ENCRYPT,
			.parameters.rsaDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
						  .scheme.scheme = TPM2_ALG_NULL,
						  .keyBits = 2048 } }
};
static const TPM2B_SENSITIVE_CREATE no_auth;
static const TPM2B_DATA no_data;
static const TPML_PCR_SELECTION no_pcr;

static bool make_key(struct raw *r, bool rsa, FILE *to)
{
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	bool made = ok(Esys_Create(r->esys, r->primary, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				   ESYS_TR_NONE, &no_auth, rsa ? &rsa_key : &ec_key, &no_data,
				   &no_pcr, &private, &public, NULL, NULL, NULL),
		       "Create");

	if (made) {
		r->file.private = *private;
		r->file.public = *public;
		made = to && fwrite(&r->file, sizeof(r->file), 1, to) == 1;
	}
	Esys_Free(private);
	Esys_Free(public);
	return made;
}

static bool open_key(struct raw *r, bool rsa, const char *path)
{
	FILE *f = fopen(path, "rb");
	bool there = f != NULL;
	bool done = ok(Esys_CreatePrimary(r->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
					  ESYS_TR_NONE, &no_auth, &storage, &no_data, &no_pcr,
					  &r->primary, NULL, NULL, NULL, NULL),
		       "CreatePrimary");

	if (done && there)
		done = fread(&r->file, sizeof(r->file), 1, f) == 1;
	else if (done)
		done = make_key(r, rsa, f = fopen(path, "wb"));
	if (f)
		(void)fclose(f);
	done = done && ok(Esys_Load(r->esys, r->primary, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE, &r->file.private, &r->file.public, &r->key),
			  "Load");
	return done && ok(Esys_FlushContext(r->esys, r->primary), "FlushContext");
}

static EVP_PKEY *public_key(const TPMT_PUBLIC *p)
{
	EVP_PKEY_CTX *ctx =
		EVP_PKEY_CTX_new_from_name(NULL, p->type == TPM2_ALG_RSA ? "RSA" : "EC", NULL);
	BIGNUM *n = BN_bin2bn(p->unique.rsa.buffer, p->unique.rsa.size, NULL);
	unsigned char number[256], point[65] = { 4 };
	unsigned long e = 65537;
	OSSL_PARAM rsa[] = {
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, number, sizeof(number)),
		OSSL_PARAM_ulong(OSSL_PKEY_PARAM_RSA_E, &e),
		OSSL_PARAM_END,
	};
	OSSL_PARAM ec[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "P-256" }, 5),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_END,
	};
	EVP_PKEY *key = NULL;

	if (p->type == TPM2_ALG_RSA) {
		(void)BN_bn2nativepad(n, number, sizeof(number));
	} else {
		memcpy(point + 33 - p->unique.ecc.x.size, p->unique.ecc.x.buffer,
		       p->unique.ecc.x.size);
		memcpy(point + 65 - p->unique.ecc.y.size, p->unique.ecc.y.buffer,
		       p->unique.ecc.y.size);
	}
	if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY,
					p->type == TPM2_ALG_RSA ? rsa : ec);
	BN_free(n);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static bool make_verifier(struct raw *r)
{
	r->pub = public_key(&r->file.public.publicArea);
	r->verifier = r->pub ? EVP_PKEY_CTX_new_from_pkey(NULL, r->pub, NULL) : NULL;
	return r->verifier && EVP_PKEY_verify_init(r->verifier) == 1 &&
	       EVP_PKEY_CTX_set_signature_md(r->verifier, EVP_sha256()) == 1;
}

static bool verify(struct raw *r, const TPMT_SIGNATURE *s)
{
	unsigned char der[80], *end = der;
	const unsigned char *sig = der;
	size_t n;

	if (s->sigAlg == TPM2_ALG_ECDSA) {
		const TPMS_SIGNATURE_ECC *rs = &s->signature.ecdsa;
		ECDSA_SIG *e = ECDSA_SIG_new();

		if (!e ||
		    !ECDSA_SIG_set0(e, BN_bin2bn(rs->signatureR.buffer, rs->signatureR.size, NULL),
				    BN_bin2bn(rs->signatureS.buffer, rs->signatureS.size, NULL)))
			return false;
		n = (size_t)i2d_ECDSA_SIG(e, &end);
		ECDSA_SIG_free(e);
	} else {
		sig = s->signature.rsassa.sig.buffer;
		n = s->signature.rsassa.sig.size;
	}
	return EVP_PKEY_verify(r->verifier, sig, n, r->digest.buffer, r->digest.size) == 1;
}

static bool sign(void *arg)
{
	static const TPMT_TK_HASHCHECK no_ticket = { .tag = TPM2_ST_HASHCHECK,
						     .hierarchy = TPM2_RH_NULL };
	struct raw *r = arg;
	TPMT_SIGNATURE *s = NULL;
	bool done;

	r->digest.buffer[0]++;
	done = ok(Esys_Sign(r->esys, r->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
			    &r->digest, &r->scheme, &no_ticket, &s),
		  "Sign");
	if (done && r->verifier)
		done = verify(r, s);
	Esys_Free(s);
	return done;
}

static bool says(int argc, char **argv, const char *word)
{
	int i;

	for (i = 5; i < argc && strcmp(argv[i], word) != 0; i++)
		;
	return i < argc;
}

static TSS2_TCTI_RECEIVE_FCN keepers_receive;

/* ESAPI asks first how long the answer is, which the keeper never does. */
static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *n, uint8_t *p, int32_t timeout)
{
	if (p)
		return keepers_receive(tcti, n, p, timeout);
	*n = HF_TPM2_BUFFER;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC connect_to(const char *name, bool kept, TSS2_TCTI_CONTEXT **tcti)
{
	const char *path = hf_tpm2_socket_path(name);
	TSS2_RC rc = TSS2_TCTI_RC_NOT_SUPPORTED;

	if (!kept)
		return Tss2_TctiLdr_Initialize(name, tcti);
	if (path)
		rc = hf_tpm2_socket_open(path, tcti);
	if (rc)
		return rc;
	keepers_receive = TSS2_TCTI_RECEIVE(*tcti);
	TSS2_TCTI_RECEIVE(*tcti) = receive;
	return rc;
}

static void disconnect(TSS2_TCTI_CONTEXT *tcti, bool kept)
{
	if (!kept) {
		Tss2_TctiLdr_Finalize(&tcti);
	} else if (tcti) {
		Tss2_Tcti_Finalize(tcti);
		free(tcti);
	}
}

int main(int argc, char **argv)
{
	struct raw r = { .digest.size = 32, .scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
	bool verifying = says(argc, argv, "verify"), kept = says(argc, argv, "kept"), rsa, done;
	TSS2_TCTI_CONTEXT *tcti = NULL;

	if (argc != 5 + verifying + kept) {
		(void)fprintf(stderr, "usage: bench-esapi TCTI ec-p256|rsa-2048 KEYFILE SECONDS "
				      "[verify] [kept]\n");
		return 2;
	}
	rsa = !strcmp(argv[2], "rsa-2048");
	r.scheme.scheme = rsa ? TPM2_ALG_RSASSA : TPM2_ALG_ECDSA;
	done = ok(connect_to(argv[1], kept, &tcti), "TCTI") &&
	       ok(Esys_Initialize(&r.esys, tcti, NULL), "Initialize") &&
	       open_key(&r, rsa, argv[3]) && (!verifying || make_verifier(&r)) && sign(&r) &&
	       hf_round_run(strtod(argv[4], NULL), sign, &r) &&
	       ok(Esys_FlushContext(r.esys, r.key), "FlushContext");
	EVP_PKEY_CTX_free(r.verifier);
	EVP_PKEY_free(r.pub);
	Esys_Finalize(&r.esys);
	disconnect(tcti, kept);
	return done ? 0 : 1;
}
