/* SPDX-License-Identifier: Apache-2.0 */
#include "est/result.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include <openssl/objects.h>

#include "est/certs.h"
#include "est/csrattrs.h"
#include "est/names.h"

static void text(json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void certs(json_object *o, const char *name, STACK_OF(X509) * list)
{
	HF_AUTO_BUF pem = HF_BUF(4 * HF_EST_CACERTS_BYTES);

	if (sk_X509_num(list) > 0)
		hf_certs_write(list, &pem);
	text(o, name, pem.p && !pem.bad ? (const char *)pem.p : "");
}

static json_object *attrs(const struct hf_csrattrs *a)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	HF_AUTO_BUF keys = HF_BUF(2048);
	char one[80];
	unsigned i;

	json_object_object_add(o, "challenge_password",
			       json_object_new_boolean(a->challenge_password));
	for (i = 0; i < a->n_keys; i++)
		hf_buf_fmt(&keys, "%s%s", i ? ", " : "",
			   hf_csr_key_text(&a->keys[i], one, sizeof(one)));
	text(o, "key", keys.p ? (const char *)keys.p : "");
	text(o, "digest", a->n_digests ? OBJ_nid2sn(a->digests[0]) : "");
	for (i = 0; i < a->n_exts; i++) {
		(void)hf_oid_text(a->exts[i].type, one, sizeof(one));
		json_object_array_add(list, json_object_new_string(one));
	}
	json_object_object_add(o, "extensions", list);
	json_object_object_add(o, "template", json_object_new_boolean(a->template));
	return o;
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

bool hf_est_result_write(const struct hf_est *x, enum hf_est_status status, int fd)
{
	json_object *o = json_object_new_object(), *warnings = json_object_new_array();
	const char *out;
	unsigned i;
	bool ok;

	json_object_object_add(o, "version", json_object_new_int(1));
	text(o, "status", hf_est_status_name(status));
	text(o, "message", x->err.msg);
	json_object_object_add(o, "http_status", json_object_new_int64(x->http_status));
	json_object_object_add(o, "retry_after_s", json_object_new_int64(x->retry_after_s));
	certs(o, "certificates_pem", status ? NULL : x->issued);
	certs(o, "cacerts_pem", x->cacerts);
	json_object_object_add(o, "cacerts_changed", json_object_new_boolean(x->cacerts_changed));
	if (x->attrs)
		json_object_object_add(o, "csrattrs", attrs(x->attrs));
	text(o, "tls", x->tls.version);
	text(o, "binding", x->binding ? x->binding : "");
	for (i = 0; i < x->n_warnings; i++)
		json_object_array_add(warnings, json_object_new_string(x->warnings[i]));
	json_object_object_add(o, "warnings", warnings);
	out = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							JSON_C_TO_STRING_NOSLASHESCAPE);
	ok = out && write_all(fd, out, strlen(out)) && write_all(fd, "\n", 1);
	json_object_put(o);
	return ok;
}
