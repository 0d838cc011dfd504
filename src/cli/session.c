/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "wire/client.h"
#include "wire/mech.h"

static const char *socket_path(const struct hf_cli *c)
{
	const char *path = hf_cli_option(c, "socket");

	if (path)
		return path;
	/* --root says where it is; HOLDFAST_SOCKET more exactly than HOLDFAST_ROOT. */
	if (hf_cli_option(c, "root") || (c->root[0] && !secure_getenv("HOLDFAST_SOCKET")))
		return c->paths.socket;
	return hf_client_socket();
}

enum hf_rc hf_session_open(struct hf_cli *c, struct hf_err *e)
{
	struct hf_session *s;

	if (c->session)
		return HF_OK;
	s = calloc(1, sizeof(*s));
	if (!s)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	s->fd = -1;
	s->data = (struct hf_buf)HF_BUF(HF_DATA_MAX);
	c->session = s;
	return hf_client_open(socket_path(c), "holdfast " HF_VERSION, HF_CALL_MS, &s->fd, e);
}

/* Signing waits for its input; the broker may have been restarted, or tired of us, meanwhile. */
static enum hf_rc revive(struct hf_cli *c, struct hf_err *e)
{
	struct hf_session *s = c->session;
	struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };

	if (s->fd >= 0 && (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR))))
		return HF_OK;
	hf_fd_close(&s->fd);
	return hf_client_open(socket_path(c), "holdfast " HF_VERSION, HF_CALL_MS, &s->fd, e);
}

void hf_session_close(struct hf_cli *c)
{
	if (!c->session)
		return;
	hf_fd_close(&c->session->fd);
	hf_buf_finish(&c->session->data);
	free(c->session);
	c->session = NULL;
}

/* ---------------------------------------------------------------- progress */

static const char *progress_text;
static volatile sig_atomic_t progress_seconds;

/* Only write(2) here: this interrupts poll(). */
static void progress_tick(int sig)
{
	char digits[16];
	size_t i = sizeof(digits);
	int n = ++progress_seconds;

	(void)sig;
	for (; n && i; n /= 10)
		digits[--i] = (char)('0' + n % 10);
	if (write(STDERR_FILENO, "\r", 1) < 0 ||
	    write(STDERR_FILENO, progress_text, strlen(progress_text)) < 0 ||
	    write(STDERR_FILENO, " ", 1) < 0 ||
	    write(STDERR_FILENO, digits + i, sizeof(digits) - i) < 0 ||
	    write(STDERR_FILENO, " s ", 3) < 0)
		return;
}

static void progress(const char *text)
{
	struct itimerval every = { { 1, 0 }, { 1, 0 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = progress_tick, .sa_flags = SA_RESTART };

	if (text && isatty(STDERR_FILENO)) {
		progress_text = text;
		progress_seconds = 0;
		(void)sigaction(SIGALRM, &act, NULL);
		(void)setitimer(ITIMER_REAL, &every, NULL);
	} else if (!text && progress_text) {
		(void)setitimer(ITIMER_REAL, &never, NULL);
		if (progress_seconds)
			(void)!write(STDERR_FILENO, "\n", 1);
		progress_text = NULL;
	}
}

/* ---------------------------------------------------------------- calls */

/* What does the same when it is done twice; see "Repeating" in docs/PROTOCOL.md. */
static bool may_repeat(const hf_Request *req)
{
	static const pb_size_t harmless[] = {
		hf_Request_key_get_tag,	   hf_Request_key_list_tag,   hf_Request_sign_tag,
		hf_Request_token_list_tag, hf_Request_status_get_tag, hf_Request_policy_explain_tag
	};
	size_t i;

	for (i = 0; i < HF_COUNT(harmless); i++)
		if (req->which_op == harmless[i])
			return true;
	return false;
}

static enum hf_rc call_once(struct hf_cli *c, unsigned timeout_ms, bool *asked, struct hf_err *e)
{
	struct hf_session *s = c->session;
	enum hf_rc rc = revive(c, e);

	*asked = !rc;
	if (rc)
		return rc;
	s->req.timeout_ms = timeout_ms;
	/* A little longer than the broker has, so that its answer is the one that is heard. */
	return hf_client_call(s->fd, &s->req, &s->rep, timeout_ms + 1000, e);
}

enum hf_rc hf_session_call(struct hf_cli *c, unsigned timeout_ms, pb_size_t want, struct hf_err *e)
{
	struct hf_session *s = c->session;
	enum hf_rc rc;
	bool asked;

	progress(c->json ? NULL : s->doing);
	rc = call_once(c, timeout_ms, &asked, e);
	/* The broker, or the keeper that had it, may have died, and another one is there now. */
	if (rc == HF_UNAVAILABLE && asked && may_repeat(&s->req)) {
		*e = (struct hf_err)HF_ERR_INIT;
		rc = call_once(c, timeout_ms, &asked, e);
	}
	progress(NULL);
	s->doing = NULL;
	memset(&s->req, 0, sizeof(s->req));
	hf_buf_finish(&s->data);
	if (!rc && want && s->rep.which_result != want)
		rc = hf_fail(e, HF_PROTOCOL,
			     "the broker gave an answer of the wrong kind; are holdfast "
			     "and holdfastd of the same release?");
	return rc;
}

enum hf_rc hf_session_about(struct hf_err *e, const char *key)
{
	char said[100];

	(void)snprintf(said, sizeof(said), "key %s", key);
	if (strstr(e->msg, said))
		return e->rc;
	(void)snprintf(said, sizeof(said), "key: %s", key);
	return strstr(e->msg, said) ? e->rc : hf_within(e, "key %s", key);
}

enum hf_rc hf_session_key(hf_KeyRef *ref, const char *text, struct hf_err *e)
{
	memset(ref, 0, sizeof(*ref));
	if (!strncmp(text, "holdfast:", 9))
		text += 9;
	if (!strncmp(text, "sha256:", 7)) {
		ref->spki_sha256.size = 32;
		if (!hf_unhex(ref->spki_sha256.bytes, 32, text + 7))
			return hf_fail(e, HF_ARGUMENT,
				       "'%.80s': sha256: is followed by 64 hex digits", text);
		return HF_OK;
	}
	if (!hf_key_name_ok(text))
		return hf_fail(
			e, HF_ARGUMENT,
			"'%.80s' cannot be the name of a key: 1 to 63 letters, digits and . _ -, "
			"the first a letter or digit",
			text);
	(void)hf_copy(ref->name, sizeof(ref->name), text);
	return HF_OK;
}

enum hf_rc hf_session_get(struct hf_cli *c, const char *id, struct hf_err *e)
{
	hf_KeyRef ref;
	enum hf_rc rc = hf_session_key(&ref, id, e);

	if (!rc)
		rc = hf_session_open(c, e);
	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_key_get_tag;
	c->session->req.op.key_get.has_key = true;
	c->session->req.op.key_get.key = ref;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_key_tag, e);
	return rc ? hf_session_about(e, id) : HF_OK;
}
