/* SPDX-License-Identifier: Apache-2.0 */
#include "est/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "base/process.h"
#include "est/base64.h"
#include "est/key.h"
#include "est/tls.h"

#define HEAD_MAX      (16u * 1024)
#define REDIRECTS_MAX 3u
#define REQUESTS_MAX  20u

/* libcurl knows one pointer per callback. */
struct transfer {
	struct hf_est *x;
	struct hf_http *h;
};

/* ---------------------------------------------------------------- callbacks */

static CURLcode on_ssl_ctx(CURL *curl, void *ctx, void *arg)
{
	struct transfer *t = arg;

	(void)curl;
	t->x->tls.alert = -1;
	t->x->tls.asked_cert = t->x->tls.authenticated = false;
	if (hf_tls_prepare(t->x, ctx))
		return CURLE_OK;
	t->h->status = HF_EST_AUTH;
	return CURLE_ABORTED_BY_CALLBACK;
}

static SSL *ssl_of(struct hf_est *x)
{
	struct curl_tlssessioninfo *info = NULL;

	if (curl_easy_getinfo(x->curl, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info ||
	    info->backend != CURLSSLBACKEND_OPENSSL)
		return NULL;
	return info->internals;
}

/* Signs the request into h->post, which keeps its length: the rest is line ends. */
static enum hf_est_status fill(struct hf_est *x, struct hf_http *h, const char *binding)
{
	HF_AUTO_BUF text = HF_BUF(64 * 1024);
	unsigned char *der = NULL;
	X509_REQ *req;
	enum hf_est_status status = hf_csr_sign(x, h->plan, binding, &req);
	int n;

	if (status)
		return status;
	n = i2d_X509_REQ(req, &der);
	X509_REQ_free(req);
	if (n > 0)
		hf_est_base64_encode(der, (size_t)n, &text);
	OPENSSL_free(der);
	if (n <= 0 || text.bad)
		return hf_est_fail(x, HF_EST_INTERNAL, "the request cannot be encoded");
	if (!h->post.n) { /* the first one, and not bound: as long as it is */
		hf_buf_add(&h->post, text.p, text.n);
		return h->post.bad ? hf_est_fail(x, HF_EST_INTERNAL, "out of memory") : HF_EST_OK;
	}
	if (text.n > h->post.n)
		return hf_est_fail(x, HF_EST_INTERNAL, "the request is longer than announced");
	memset(h->post.p, '\n', h->post.n);
	memcpy(h->post.p, text.p, text.n);
	return HF_EST_OK;
}

/* The connection stands, the server is known, and nothing has been sent. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct transfer *t = arg;
	struct hf_est *x = t->x;
	SSL *ssl = ssl_of(x);
	char binding[HF_BINDING_MAX];

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	if (!ssl || (!x->tls.authenticated && !x->bootstrap)) {
		t->h->status = hf_est_fail(x, HF_EST_TLS, "the server is not authenticated");
		return CURL_PREREQFUNC_ABORT;
	}
	(void)hf_copy(x->tls.version, sizeof(x->tls.version), SSL_get_version(ssl));
	if (x->listen) {
		hf_tls_listen(x, ssl, 1000);
		return CURL_PREREQFUNC_ABORT;
	}
	if (!t->h->bind)
		return CURL_PREREQFUNC_OK;
	t->h->status = hf_tls_binding(
		x, ssl, x->job->binding == HF_EST_BIND_NONE ? HF_EST_BIND_AUTO : x->job->binding,
		binding);
	if (!t->h->status)
		t->h->status = fill(x, t->h, binding);
	explicit_bzero(binding, sizeof(binding));
	return t->h->status ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Value of the header @name in a line, or false. */
static bool header_value(const char *line, size_t n, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(line, name, len) || line[len] != ':')
		return false;
	line += len + 1;
	n -= len + 1;
	while (n && strchr(" \t", *line)) {
		line++;
		n--;
	}
	while (n && strchr(" \t\r\n", line[n - 1]))
		n--;
	if (n >= size || memchr(line, 0, n))
		n = 0;
	memcpy(out, line, n);
	out[n] = '\0';
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct hf_http *h = ((struct transfer *)arg)->h;
	char value[2048];

	n *= size;
	if (n >= 5 && !strncmp(line, "HTTP/", 5)) { /* of the answer itself, not of a 100 before */
		h->type[0] = h->location[0] = h->retry[0] = '\0';
		h->has_retry = h->has_challenge = h->encoded = false;
		memset(&h->heard, 0, sizeof(h->heard));
	}
	h->head += n;
	if (h->head > HEAD_MAX) {
		h->status =
			hf_est_fail(((struct transfer *)arg)->x, HF_EST_PROTOCOL,
				    "the headers of the answer are longer than %u bytes", HEAD_MAX);
		return 0;
	}
	(void)header_value(line, n, "Content-Type", h->type, sizeof(h->type));
	(void)header_value(line, n, "Location", h->location, sizeof(h->location));
	if (header_value(line, n, "Retry-After", h->retry, sizeof(h->retry)))
		h->has_retry = true;
	if (header_value(line, n, "Content-Encoding", value, sizeof(value)))
		h->encoded = value[0] && strcasecmp(value, "identity");
	if (header_value(line, n, "WWW-Authenticate", value, sizeof(value))) {
		h->has_challenge = true;
		hf_challenge_add(&h->heard, value);
	}
	return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	hf_buf_add(&t->h->body, p, n);
	if (!t->h->body.bad)
		return n;
	t->h->status = hf_est_fail(t->x, HF_EST_PROTOCOL, "the answer is longer than %zu bytes",
				   t->h->max);
	return 0;
}

/* ---------------------------------------------------------------- authorization */

/* Sets the header if there is a challenge that we can meet; false if there is none that we can. */
static bool authorize(struct hf_est *x, const struct hf_http *h, const char *url,
		      struct curl_slist **headers)
{
	HF_AUTO_BUF line = HF_BUF(8192);
	HF_AUTO_BUF pair = HF_BUF(4096);
	struct hf_challenge *c = &x->challenge;
	const struct hf_est_job *job = x->job;
	uint8_t random[16];
	char cnonce[33];
	struct curl_slist *more;
	size_t i;

	hf_buf_str(&line, "Authorization: ");
	if (c->bearer && job->bearer[0]) {
		hf_buf_fmt(&line, "Bearer %s", job->bearer);
	} else if (c->digest && job->basic) {
		if (RAND_bytes(random, sizeof(random)) != 1 ||
		    hf_digest_answer(c, job->username, job->password, h->plan ? "POST" : "GET",
				     strchr(url + 8, '/'),
				     hf_hex(cnonce, sizeof(cnonce), random, sizeof(random)), &line,
				     &x->err))
			return false;
	} else if (c->basic && job->basic) {
		hf_buf_fmt(&pair, "%s:%s", job->username, job->password);
		hf_buf_str(&line, "Basic ");
		i = line.n;
		hf_est_base64_encode(pair.p, pair.n, &line);
		for (; !line.bad && i < line.n;
		     i++) /* one line; it cannot be longer than one here */
			if (line.p[i] == '\n') {
				memmove(line.p + i, line.p + i + 1, line.n - i);
				line.n--;
				i--;
			}
	} else {
		return false;
	}
	if (line.bad || strpbrk((char *)line.p, "\r\n"))
		return false;
	more = curl_slist_append(*headers, (char *)line.p);
	if (more)
		*headers = more;
	return more != NULL;
}

static bool can_answer(const struct hf_est *x, const struct hf_challenge *c)
{
	return (c->bearer && x->job->bearer[0]) || ((c->basic || c->digest) && x->job->basic);
}

static bool challenged(const struct hf_est *x)
{
	return x->challenge.basic || x->challenge.bearer || x->challenge.digest;
}

/* ---------------------------------------------------------------- errors */

static enum hf_est_status curl_failed(struct hf_est *x, const struct hf_http *h, CURLcode code,
				      const char *detail)
{
	char said[220];

	if (h->status) /* one of our callbacks has ended it */
		return h->status;
	hf_escape(said, sizeof(said), detail[0] ? detail : curl_easy_strerror(code),
		  strlen(detail[0] ? detail : curl_easy_strerror(code)));
	if (x->tls.why.msg[0])
		return hf_est_fail(x, HF_EST_TLS, "%s", x->tls.why.msg);
	/* the provider's own errors have its name in them; libcurl keeps only one line of each */
	if (x->job->tls_key[0] && strstr(detail, ":holdfast:"))
		return hf_est_fail(x, HF_EST_KEY, "key %s does not sign for the connection: %s",
				   x->job->tls_key, strrchr(said, ':') + 1);
	if (hf_tls_refused_us(x))
		return hf_est_fail(x, HF_EST_AUTH, "the server refuses %s (TLS alert: %s)%s",
				   x->job->tls_key[0] ? "our client certificate"
						      : "a connection without client certificate",
				   SSL_alert_desc_string_long(x->tls.alert),
				   x->job->tls_key[0]
					   ? "; is it expired, revoked, of another CA, or does its "
					     "chain have to be sent (client_chain)?"
					   : "; give one (auth.tls)");
	if (x->tls.alert >= 0)
		return hf_est_fail(x, HF_EST_TLS, "the server ends the handshake (TLS alert: %s)",
				   SSL_alert_desc_string_long(x->tls.alert));
	switch ((int)code) {
	case CURLE_SSL_CONNECT_ERROR:
		if (!strcasestr(detail, "SYSCALL") && !strcasestr(detail, "unexpected eof") &&
		    !strcasestr(detail, "reset") && !strcasestr(detail, "broken pipe"))
			return hf_est_fail(x, HF_EST_TLS, "no TLS with the server: %s", said);
		break;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_PEER_FAILED_VERIFICATION:
		return hf_est_fail(x, HF_EST_TLS, "no TLS with the server: %s", said);
	case CURLE_OUT_OF_MEMORY:
		return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	case CURLE_FILESIZE_EXCEEDED:
		return hf_est_fail(x, HF_EST_PROTOCOL, "the answer is longer than %zu bytes",
				   h->max);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_HTTP2:
		return hf_est_fail(x, HF_EST_PROTOCOL, "that is no HTTP: %s", said);
	case CURLE_OPERATION_TIMEDOUT:
		return hf_est_fail(x, HF_EST_NETWORK, "no answer in time (%s)", said);
	default:
		break;
	}
	return hf_est_fail(x, HF_EST_NETWORK, "%s", said);
}

char *hf_http_words(const struct hf_http *h, char *out, size_t size)
{
	char plain[160];
	size_t n = h->body.n < sizeof(plain) ? h->body.n : sizeof(plain), i;
	bool text = !h->type[0] || !strncasecmp(h->type, "text/plain", 10) ||
		    hf_media_type(h->type, "application/json") ||
		    hf_media_type(h->type, "application/problem+json");

	out[0] = '\0';
	while (n && strchr(" \t\r\n", h->body.p[n - 1]))
		n--;
	if (!text || !n || size < 16)
		return out;
	memcpy(plain, h->body.p, n);
	for (i = 0; i < n; i++)
		if (strchr("\t\r\n", plain[i]) && plain[i])
			plain[i] = ' ';
	memcpy(out, ": ", 2);
	hf_escape(out + 2, size - 2, plain, n);
	return out;
}

/* ---------------------------------------------------------------- one request */

#define SET(option, value) (ok = ok && curl_easy_setopt(c, option, value) == CURLE_OK)

static bool set_up(struct hf_est *x, struct transfer *t, const char *url,
		   struct curl_slist *headers, char *detail)
{
	CURL *c = x->curl;
	struct hf_http *h = t->h;
	uint64_t now = hf_now_ms();
	long left = x->deadline > now ? (long)(x->deadline - now) : 1;
	bool ok = true;

	curl_easy_reset(c); /* keeps the connection */
	SET(CURLOPT_URL, url);
	SET(CURLOPT_ERRORBUFFER, detail);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, x->job->proxy); /* "": none, also none from the environment */
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)x->job->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, left);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 0L); /* verify_server() does, with RFC 7030's exception */
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	SET(CURLOPT_SSL_CTX_DATA, t);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)h->max);
	SET(CURLOPT_USERAGENT, "holdfast/" HF_VERSION);
	if (h->plan) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, h->post.p); /* read only after on_connected() */
		SET(CURLOPT_POSTFIELDSIZE, (long)h->post.n);
	}
	SET(CURLOPT_HTTPHEADER, headers);
	return ok;
}

/* Cut off in TLS 1.3 before a byte of an answer, by a server that wanted a client certificate? */
static bool may_be_refused(const struct hf_est *x, const struct hf_http *h, CURLcode code)
{
	return (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
		code == CURLE_GOT_NOTHING) &&
	       !h->status && !h->head && x->tls.alert < 0 && x->tls.asked_cert &&
	       !strcmp(x->tls.version, "TLSv1.3");
}

static enum hf_est_status perform(struct hf_est *x, struct hf_http *h, char *detail)
{
	CURLcode code = curl_easy_perform(x->curl);
	char first[CURL_ERROR_SIZE];

	if (may_be_refused(x, h, code)) {
		(void)hf_copy(first, sizeof(first), detail);
		x->listen = true; /* nothing is sent a second time */
		(void)curl_easy_setopt(x->curl, CURLOPT_FRESH_CONNECT, 1L);
		(void)curl_easy_perform(x->curl);
		x->listen = false;
		h->status = HF_EST_OK;
		return curl_failed(x, h, code, first);
	}
	if (code != CURLE_OK || h->status)
		return curl_failed(x, h, code, detail);
	(void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &h->code);
	return HF_EST_OK;
}

static enum hf_est_status once(struct hf_est *x, struct hf_http *h, const char *url)
{
	struct transfer t = { x, h };
	struct curl_slist *headers = NULL, *more;
	char detail[CURL_ERROR_SIZE] = "";
	enum hf_est_status status = HF_EST_OK;

	if (++x->requests > REQUESTS_MAX)
		return hf_est_fail(x, HF_EST_PROTOCOL, "more than %u requests for one answer",
				   REQUESTS_MAX);
	if (hf_now_ms() >= x->deadline)
		return hf_est_fail(x, HF_EST_NETWORK,
				   "no answer in time (%lld ms for all requests)",
				   (long long)x->job->timeout_ms);
	if (!x->curl && !(x->curl = curl_easy_init()))
		return hf_est_fail(x, HF_EST_INTERNAL, "libcurl cannot start");
	hf_buf_finish(&h->body);
	h->body.max = h->max;
	h->head = 0;
	h->status = HF_EST_OK;
	if (h->plan) {
		headers = curl_slist_append(headers, "Content-Type: application/pkcs10");
		/* Ours is small: no pause to be told to go on. */
		more = headers ? curl_slist_append(headers, "Expect:") : NULL;
		headers = more ? more : headers;
	}
	if (challenged(x) && !x->bootstrap && can_answer(x, &x->challenge) &&
	    !authorize(x, h, url, &headers))
		status = hf_est_fail(x, HF_EST_INTERNAL, "the credentials cannot be encoded");
	if (!status && !set_up(x, &t, url, headers, detail))
		status = hf_est_fail(x, HF_EST_JOB,
				     "libcurl does not take the settings (is the proxy right?)");
	if (!status)
		status = perform(x, h, detail);
	/* It may hold a password; libcurl does not wipe. */
	for (more = headers; more; more = more->next)
		explicit_bzero(more->data, strlen(more->data));
	curl_slist_free_all(headers);
	x->http_status = h->code;
	if (!status && h->encoded)
		status = hf_est_fail(x, HF_EST_PROTOCOL,
				     "the server sends a compressed answer, unasked");
	return status;
}

/* ---------------------------------------------------------------- the request with all its turns
 */

static enum hf_est_status redirect(struct hf_est *x, const struct hf_http *h, char *url)
{
	char next[HF_URL_MAX];
	enum hf_rc rc;

	if (!h->location[0])
		return hf_est_fail(x, HF_EST_PROTOCOL,
				   "the server redirects (%ld), but not where to", h->code);
	rc = hf_est_url_redirect(&x->url, url, h->location, next, &x->err);
	if (rc)
		return HF_EST_PROTOCOL;
	if (h->plan && !x->job->follow_redirects)
		return hf_est_fail(
			x, HF_EST_PROTOCOL,
			"the server redirects the request to %.200s; it is sent there only "
			"if follow_redirects says so (RFC 7030, section 3.2.1)",
			next);
	if (h->plan && h->code == 303)
		return hf_est_fail(x, HF_EST_PROTOCOL, "the server answers a request with a 303");
	memcpy(url, next, sizeof(next));
	return HF_EST_OK;
}

/* A body that can only be signed later has to have its length now. */
static enum hf_est_status prepare_post(struct hf_est *x, struct hf_http *h)
{
	size_t bound, i;

	h->post.max = 64 * 1024;
	if (!h->plan)
		return HF_EST_OK;
	if (!h->bind)
		return fill(x, h, NULL);
	bound = hf_csr_bound(x, h->plan);
	if (!bound)
		return hf_est_fail(x, HF_EST_INTERNAL, "the request cannot be encoded");
	bound = HF_EST_BASE64_LEN(bound);
	for (i = 0; i < bound; i++)
		hf_buf_add(&h->post, "\n", 1);
	return h->post.bad ? hf_est_fail(x, HF_EST_JOB, "the request is too large") : HF_EST_OK;
}

static bool is_redirect(long code)
{
	return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

enum hf_est_status hf_http_run(struct hf_est *x, struct hf_http *h)
{
	enum hf_est_status status = prepare_post(x, h);
	unsigned redirects = 0, answers = 0;
	char url[HF_URL_MAX];

	hf_est_url_op(&x->url, h->op, url);
	while (!status) {
		bool answered = challenged(x) && can_answer(x, &x->challenge);

		status = once(x, h, url);
		if (status)
			return hf_est_within(x, status, "%s %s", h->plan ? "POST" : "GET", url);
		if (h->code == 401 && h->has_challenge && !x->bootstrap &&
		    can_answer(x, &h->heard) && (!answered || h->heard.stale) && answers++ < 2) {
			x->challenge = h->heard;
			continue;
		}
		if (!is_redirect(h->code))
			return HF_EST_OK;
		if (++redirects > REDIRECTS_MAX)
			status = hf_est_fail(x, HF_EST_PROTOCOL,
					     "the server redirects more than %u times",
					     REDIRECTS_MAX);
		else
			status = redirect(x, h, url);
		if (status)
			return hf_est_within(x, status, "%s %s/%s", h->plan ? "POST" : "GET",
					     x->url.origin, h->op);
	}
	return status;
}

void hf_http_finish(struct hf_http *h)
{
	hf_buf_finish(&h->body);
	hf_buf_finish(&h->post);
}

void hf_http_reset(struct hf_est *x)
{
	curl_easy_cleanup(x->curl);
	x->curl = NULL;
}
