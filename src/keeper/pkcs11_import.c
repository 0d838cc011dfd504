/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_import.c: keys that were not made here: a pair that is in the token already
 * (adopted), and a software key that comes wrapped to a key which only the token has.
 */
#include <openssl/x509.h>
#include <string.h>
#include <sys/file.h>

#include "keeper/der.h"
#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_public.h"
#include "keeper/public.h"

#define WRAP_BITS 2048u
#define WRAP_ID	  "holdfast-wrap"

static const CK_BYTE f4[] = { 1, 0, 1 };

/* ---------------------------------------------------------------- the key to wrap to */

static CK_RV find_wrap(struct hf_p11 *t, CK_OBJECT_HANDLE *out, CK_ULONG *n)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	struct hf_p11_template match = { .n = 0 };

	hf_p11_add(&match, CKA_CLASS, &class, sizeof(class));
	hf_p11_add(&match, CKA_ID, WRAP_ID, strlen(WRAP_ID));
	return hf_p11_find(t, match.rows, match.n, out, 1, n);
}

static CK_RV make_wrap(struct hf_p11 *t, CK_OBJECT_HANDLE *out)
{
	static const CK_ULONG bits = WRAP_BITS;
	CK_MECHANISM m = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
	struct hf_p11_template pub = { .n = 0 }, priv = { .n = 0 }, *each[] = { &pub, &priv };
	CK_OBJECT_HANDLE other;
	size_t i;

	for (i = 0; i < HF_COUNT(each); i++) {
		hf_p11_add_flag(each[i], CKA_TOKEN, true);
		hf_p11_add(each[i], CKA_ID, WRAP_ID, strlen(WRAP_ID));
		hf_p11_add(each[i], CKA_LABEL, WRAP_ID, strlen(WRAP_ID));
	}
	hf_p11_add(&pub, CKA_MODULUS_BITS, &bits, sizeof(bits));
	hf_p11_add(&pub, CKA_PUBLIC_EXPONENT, f4, sizeof(f4));
	hf_p11_add_flag(&pub, CKA_WRAP, true);
	hf_p11_add_flag(&priv, CKA_PRIVATE, true);
	hf_p11_add_flag(&priv, CKA_SENSITIVE, true);
	hf_p11_add_flag(&priv, CKA_EXTRACTABLE, false);
	hf_p11_add_flag(&priv, CKA_UNWRAP, true);
	hf_p11_add_flag(&priv, CKA_DECRYPT, false);
	hf_p11_add_flag(&priv, CKA_SIGN, false);
	return t->f->C_GenerateKeyPair(t->session, &m, pub.rows, pub.n, priv.rows, priv.n, &other,
				       out);
}

static CK_MECHANISM_TYPE key_wrap(const struct hf_p11 *t)
{
	static const CK_MECHANISM_TYPE kwp = 0x210bUL; /* CKM_AES_KEY_WRAP_KWP of PKCS#11 3.0 */

	return hf_p11_has(t, kwp) ? kwp : CKM_AES_KEY_WRAP_PAD;
}

static enum hf_rc get_wrap(struct hf_p11 *t, CK_OBJECT_HANDLE *out, struct hf_err *e)
{
	CK_ULONG n = 0;
	CK_RV rv;

	if (!hf_p11_has(t, CKM_RSA_PKCS_OAEP) || !hf_p11_has(t, key_wrap(t)))
		return hf_fail(e, HF_UNSUPPORTED,
			       "this token does not take keys that were made elsewhere (it lacks "
			       "CKM_RSA_PKCS_OAEP or CKM_AES_KEY_WRAP_PAD); create one in it");
	/* Another keeper of the token may be making it at this moment. */
	(void)flock(HF_P11_LOGINS_FD, LOCK_EX);
	rv = find_wrap(t, out, &n);
	if (rv == CKR_OK && !n)
		rv = make_wrap(t, out);
	(void)flock(HF_P11_LOGINS_FD, LOCK_UN);
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "make a key to wrap to");
}

static enum hf_rc wrap(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	HF_AUTO_BUF spki = HF_BUF(1024);
	hf_WrapInfo *out = arg;
	CK_OBJECT_HANDLE key;
	enum hf_rc rc = get_wrap(t, &key, e);

	if (!rc)
		rc = hf_p11_spki(t, key, &spki, e);
	if (!rc && !HF_PB_SET(out->public_key, spki.p, spki.n))
		rc = hf_fail(e, HF_FAILED, "the key to wrap to is too long");
	(void)hf_copy(out->type, sizeof(out->type), "pkcs11");
	return rc;
}

enum hf_rc hf_p11_wrap(struct hf_backend *b, hf_WrapInfo *out, struct hf_err *e)
{
	return hf_p11_run((struct hf_p11 *)b, "wrap", wrap, out, e);
}

/* ---------------------------------------------------------------- what both have in common */

struct arrival {
	const hf_KeeperImport *req;
	struct hf_view blob;
	hf_KeeperCreated *out;
	struct hf_p11_names names; /* of what is made of a wrapped key */
	bool begun;
};

static enum hf_rc name_algorithm(const struct arrival *a, struct hf_view spki, struct hf_err *e)
{
	const struct hf_algorithm *row;
	struct hf_public *pub;
	enum hf_rc rc = hf_public_new(&pub, spki, e);

	if (rc)
		return rc;
	for (row = hf_algorithms; row->name; row++)
		if (row->family == pub->family &&
		    (row->family == HF_FAMILY_ED25519 || row->bits == pub->bits))
			break;
	if (!row->name)
		rc = hf_fail(e, HF_UNSUPPORTED, "keys of %u bits are not supported", pub->bits);
	else
		(void)hf_copy(a->out->algorithm, sizeof(a->out->algorithm), row->name);
	if (!rc)
		rc = hf_p11_check_usage(pub->family, a->req->usage, e);
	hf_public_free(pub);
	return rc;
}

/* ---------------------------------------------------------------- unwrap */

static CK_RV unwrap_aes(struct hf_p11 *t, CK_OBJECT_HANDLE wrapper, struct hf_view sealed,
			CK_OBJECT_HANDLE *out)
{
	/* SHA-1 is what every token has here, and what OAEP needs of it is not broken. */
	CK_RSA_PKCS_OAEP_PARAMS oaep = { .hashAlg = CKM_SHA_1,
					 .mgf = CKG_MGF1_SHA1,
					 .source = CKZ_DATA_SPECIFIED };
	CK_MECHANISM m = { CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	struct hf_p11_template tpl = { .n = 0 };

	hf_p11_add(&tpl, CKA_CLASS, &class, sizeof(class));
	hf_p11_add(&tpl, CKA_KEY_TYPE, &type, sizeof(type));
	hf_p11_add_flag(&tpl, CKA_TOKEN, false);
	hf_p11_add_flag(&tpl, CKA_SENSITIVE, true);
	hf_p11_add_flag(&tpl, CKA_EXTRACTABLE, false);
	hf_p11_add_flag(&tpl, CKA_UNWRAP, true);
	return t->f->C_UnwrapKey(t->session, &m, wrapper, (CK_BYTE *)(uintptr_t)sealed.p,
				 (CK_ULONG)sealed.n, tpl.rows, tpl.n, out);
}

static CK_RV unwrap_key(struct hf_p11 *t, CK_OBJECT_HANDLE aes, struct hf_view sealed,
			enum hf_family family, const struct hf_p11_names *names, uint32_t usage,
			CK_OBJECT_HANDLE *out)
{
	static const CK_KEY_TYPE types[] = { [HF_FAMILY_RSA] = CKK_RSA,
					     [HF_FAMILY_EC] = CKK_EC,
					     [HF_FAMILY_ED25519] = CKK_EC_EDWARDS };
	CK_MECHANISM m = { key_wrap(t), NULL, 0 };
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	struct hf_p11_template tpl = { .n = 0 };

	hf_p11_add(&tpl, CKA_CLASS, &class, sizeof(class));
	hf_p11_add(&tpl, CKA_KEY_TYPE, &types[family], sizeof(types[family]));
	hf_p11_add_private(&tpl, names, usage, true);
	return t->f->C_UnwrapKey(t->session, &m, aes, (CK_BYTE *)(uintptr_t)sealed.p,
				 (CK_ULONG)sealed.n, tpl.rows, tpl.n, out);
}

/* For programs that look into the token; we have the public key already. */
static void add_public(struct hf_p11 *t, const struct hf_p11_names *names,
		       const struct hf_algorithm *a, struct hf_view spki)
{
	const unsigned char *p = spki.p, *point;
	X509_PUBKEY *pub = d2i_X509_PUBKEY(NULL, &p, (long)spki.n);
	struct hf_view params = hf_p11_ec_params(a);
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	struct hf_p11_template tpl = { .n = 0 };
	HF_AUTO_BUF octets = HF_BUF(256);
	CK_KEY_TYPE type = CKK_EC;
	CK_OBJECT_HANDLE made;
	int n = 0;

	if (a->family == HF_FAMILY_EC && pub && X509_PUBKEY_get0_param(NULL, &point, &n, NULL, pub))
		hf_der_put(&octets, HF_DER_OCTET_STRING, point, (size_t)n);
	if (octets.n && !octets.bad) {
		hf_p11_add(&tpl, CKA_CLASS, &class, sizeof(class));
		hf_p11_add(&tpl, CKA_KEY_TYPE, &type, sizeof(type));
		hf_p11_add_names(&tpl, names);
		hf_p11_add(&tpl, CKA_EC_PARAMS, params.p, params.n);
		hf_p11_add(&tpl, CKA_EC_POINT, octets.p, octets.n);
		(void)t->f->C_CreateObject(t->session, tpl.rows, tpl.n, &made);
	}
	X509_PUBKEY_free(pub);
}

static enum hf_rc unwrap(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	CK_OBJECT_HANDLE wrapper, aes = CK_INVALID_HANDLE, key = CK_INVALID_HANDLE;
	struct arrival *a = arg;
	struct hf_view spki = { a->req->spki.bytes, a->req->spki.size };
	HF_AUTO_BUF copy = HF_BUF(4096);
	enum hf_rc rc = name_algorithm(a, spki, e);
	CK_RV rv;

	if (!rc)
		rc = get_wrap(t, &wrapper, e);
	if (!rc && a->blob.n <= WRAP_BITS / 8)
		rc = hf_fail(e, HF_ARGUMENT, "the wrapped key is too short to be one");
	if (!rc)
		rc = hf_p11_key_begin(t, &a->names, &a->begun, e);
	if (rc)
		return rc;
	hf_buf_add(&copy, spki.p, spki.n);
	rv = unwrap_aes(t, wrapper, (struct hf_view){ a->blob.p, WRAP_BITS / 8 }, &aes);
	if (rv == CKR_OK)
		rv = unwrap_key(
			t, aes,
			(struct hf_view){ a->blob.p + WRAP_BITS / 8, a->blob.n - WRAP_BITS / 8 },
			hf_algorithm_find(a->out->algorithm)->family, &a->names, a->req->usage,
			&key);
	if (aes != CK_INVALID_HANDLE)
		(void)t->f->C_DestroyObject(t->session, aes);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "unwrap the key");
	a->out->imported = true;
	rc = hf_p11_check_kept_in(t, key, e);
	if (!rc)
		rc = hf_p11_key_tell(t, &a->names, &copy, a->out, e);
	if (!rc)
		rc = hf_p11_prove(t, a->out, a->req->usage, e);
	if (!rc)
		add_public(t, &a->names, hf_algorithm_find(a->out->algorithm), spki);
	return rc;
}

/* ---------------------------------------------------------------- adopt */

/* Public key, certificate: what lies beside a private key has its id, or its label. */
static enum hf_rc beside(struct hf_p11 *t, CK_OBJECT_CLASS class, const CK_ATTRIBUTE *id,
			 const CK_ATTRIBUTE *label, struct hf_buf *spki, struct hf_err *e)
{
	CK_ATTRIBUTE match[2] = { { CKA_CLASS, &class, sizeof(class) }, id ? *id : *label };
	CK_OBJECT_HANDLE o;
	CK_ULONG n;

	if (hf_p11_find(t, match, 2, &o, 1, &n) != CKR_OK || n != 1)
		return HF_GONE;
	return hf_p11_spki(t, o, spki, e);
}

static enum hf_rc find_spki(struct hf_p11 *t, CK_OBJECT_HANDLE key, const CK_ATTRIBUTE *id,
			    const CK_ATTRIBUTE *label, struct hf_buf *spki, struct hf_err *e)
{
	struct hf_err why = HF_ERR_INIT;
	struct hf_p11_answer a;

	if (!beside(t, CKO_PUBLIC_KEY, id, label, spki, &why))
		return HF_OK;
	if (!hf_p11_spki(t, key, spki, NULL) ||
	    !beside(t, CKO_CERTIFICATE, id, label, spki, NULL))
		return HF_OK;
	if (hf_p11_get(t, key, CKA_PUBLIC_KEY_INFO, &a) == CKR_OK && a.n)
		hf_buf_add(spki, a.bytes, a.n);
	if (spki->n && !spki->bad)
		return HF_OK;
	if (why.rc == HF_REFUSED) /* it is there, and nothing for us */
		return hf_fail(e, HF_UNSUPPORTED, "%s", why.msg);
	return hf_fail(e, HF_UNSUPPORTED,
		       "the token has a private key there, but neither a public key nor a "
		       "certificate with the same id: write one of them into it");
}

static enum hf_rc find_adopted(struct hf_p11 *t, P11KitUri *uri, CK_OBJECT_HANDLE *key,
			       struct hf_err *e)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE match[3] = { { CKA_CLASS, &class, sizeof(class) } };
	CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);
	CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
	CK_ULONG n = 1, found;
	CK_RV rv;

	if (id)
		match[n++] = *id;
	if (label)
		match[n++] = *label;
	if (n == 1)
		return hf_fail(e, HF_ARGUMENT, "the URI has neither object=LABEL nor id=...");
	rv = hf_p11_find(t, match, n, key, 1, &found);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "look for the key");
	if (found == 1)
		return HF_OK;
	return hf_fail(e, found ? HF_ARGUMENT : HF_GONE,
		       "the token %s has %s private key of that %s", t->label,
		       found ? "more than one" : "no", id ? "id" : "label");
}

static enum hf_rc adopt_object(struct hf_p11 *t, CK_OBJECT_HANDLE key, struct arrival *a,
			       struct hf_err *e)
{
	struct hf_p11_answer id_bytes, label_bytes;
	CK_ATTRIBUTE id = { CKA_ID, id_bytes.bytes, 0 };
	CK_ATTRIBUTE label = { CKA_LABEL, label_bytes.bytes, 0 };
	HF_AUTO_BUF spki = HF_BUF(4096);
	enum hf_rc rc;

	if (hf_p11_get(t, key, CKA_ID, &id_bytes) == CKR_OK && id_bytes.n <= 256)
		id.ulValueLen = id_bytes.n;
	if (hf_p11_get(t, key, CKA_LABEL, &label_bytes) == CKR_OK && label_bytes.n <= 128)
		label.ulValueLen = label_bytes.n;
	if (!id.ulValueLen && !label.ulValueLen)
		return hf_fail(e, HF_UNSUPPORTED, "the key has neither an id nor a label");
	rc = find_spki(t, key, id.ulValueLen ? &id : NULL, &label, &spki, e);
	if (!rc)
		rc = name_algorithm(a, HF_VIEW_BUF(&spki), e);
	if (!rc)
		rc = hf_p11_key_tell_adopted(t, id.ulValueLen ? &id : NULL,
					     label.ulValueLen ? &label : NULL, true, &spki, a->out,
					     e);
	a->out->imported = !hf_p11_is_true(t, key, CKA_LOCAL) ||
			   !hf_p11_is_true(t, key, CKA_NEVER_EXTRACTABLE);
	return rc ? rc : hf_p11_prove(t, a->out, a->req->usage, e);
}

static enum hf_rc adopt(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	P11KitUri *uri = p11_kit_uri_new();
	struct arrival *a = arg;
	char text[HF_P11_URI_MAX] = "";
	CK_OBJECT_HANDLE key;
	enum hf_rc rc = HF_OK;

	if (a->blob.n && a->blob.n < sizeof(text))
		memcpy(text, a->blob.p, a->blob.n);
	if (!uri || p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK)
		rc = hf_fail(e, HF_ARGUMENT, "this is no PKCS#11 URI (RFC 7512)");
	else if (!p11_kit_uri_match_token_info(uri, &t->info) ||
		 (p11_kit_uri_get_slot_id(uri) != (CK_SLOT_ID)-1 &&
		  p11_kit_uri_get_slot_id(uri) != t->slot))
		rc = hf_fail(e, HF_ARGUMENT, "the URI names another token than %s", t->label);
	explicit_bzero(text, sizeof(text)); /* some have a PIN in it */
	if (!rc)
		rc = find_adopted(t, uri, &key, e);
	if (!rc)
		rc = adopt_object(t, key, a, e);
	p11_kit_uri_free(uri);
	return rc;
}

enum hf_rc hf_p11_import(struct hf_backend *b, const hf_KeeperImport *req, struct hf_view blob,
			 hf_KeeperCreated *out, struct hf_err *e)
{
	struct arrival a = { .req = req, .blob = blob, .out = out };
	struct hf_p11 *t = (struct hf_p11 *)b;
	enum hf_rc rc;

	if (!strcmp(req->format, "uri"))
		return hf_p11_run(t, "import", adopt, &a, e);
	if (strcmp(req->format, "kwp") != 0)
		return hf_fail(e, HF_UNSUPPORTED,
			       "a PKCS#11 token takes wrapped keys (kwp) and keys that it has "
			       "(uri), not %s",
			       req->format);
	if (!hf_p11_names_make(&a.names, req->name,
			       (struct hf_view){ req->object_id.bytes, req->object_id.size }))
		return hf_fail(e, HF_FAILED, "no random numbers");
	rc = hf_p11_run(t, "import", unwrap, &a, e);
	if (rc && a.begun)
		hf_p11_key_undo(t, &a.names, e);
	return rc;
}

/* ---------------------------------------------------------------- destroy */

enum hf_rc hf_p11_destroy(struct hf_backend *b, const hf_KeeperDestroy *req, struct hf_err *e)
{
	CK_ATTRIBUTE id = { CKA_ID, (void *)(uintptr_t)req->object_id.bytes, req->object_id.size };
	struct hf_p11 *t = (struct hf_p11 *)b;
	const hf_KeeperKey *key = &req->key;
	P11KitUri *uri;
	enum hf_rc rc;

	if (!req->has_key && req->object_id.size != HF_P11_ID_SIZE)
		return hf_fail(e, HF_PROTOCOL, "the request names no key");
	if (!req->has_key)
		return hf_p11_run(t, "clear up", hf_p11_key_destroy, &id, e);
	rc = hf_p11_key_uri((struct hf_view){ key->blob.bytes, key->blob.size }, &uri, e);
	if (rc)
		return rc;
	hf_p11_key_forget(t, key->spki_sha256.bytes);
	/* What somebody else made stays: holdfast only stops using it. */
	if (p11_kit_uri_get_attribute(uri, CKA_ID) &&
	    !p11_kit_uri_get_vendor_query(uri, HF_P11_ADOPTED))
		rc = hf_p11_run(t, "destroy", hf_p11_key_destroy,
				p11_kit_uri_get_attribute(uri, CKA_ID), e);
	p11_kit_uri_free(uri);
	return rc;
}
