/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/audit.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

uint64_t hf_audit_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* This is written for each signature: no printf(), which would take half of the time. */
static void add_name(struct hf_buf *line, const char *name)
{
	hf_buf_str(line, " ");
	hf_buf_str(line, name);
	hf_buf_str(line, "=");
}

static void add_text(struct hf_buf *line, const char *name, const char *text)
{
	char escaped[512];

	if (!text || !text[0])
		return;
	add_name(line, name);
	hf_buf_str(line, "\"");
	hf_buf_str(line, hf_escape(escaped, sizeof(escaped), text, strlen(text)));
	hf_buf_str(line, "\"");
}

static void add_bytes(struct hf_buf *line, const char *name, const uint8_t *p, size_t n)
{
	char hex[65];

	if (!p || !n)
		return;
	add_name(line, name);
	hf_buf_str(line, hf_hex(hex, sizeof(hex), p, n));
}

void hf_audit_write(struct hf_broker *b, const struct hf_audit *a)
{
	static const char *const kinds[] = { "none", "certificate", "crl", "request", "self" };
	HF_AUTO_BUF line = HF_BUF(4096);

	hf_buf_fmt(&line, "audit seq=%" PRIu64 " uid=%u pid=%d", ++b->audit_seq, (unsigned)a->uid,
		   (int)a->pid);
	add_text(&line, "socket", a->socket);
	add_text(&line, "op", a->op);
	add_text(&line, "key", a->key);
	add_text(&line, "token", a->token);
	add_bytes(&line, "generation", a->generation, HF_ID_SIZE);
	add_text(&line, "scheme", a->scheme);
	add_bytes(&line, "input", a->input_sha256, HF_ID_SIZE);
	if (a->issued && (unsigned)a->issued->kind < HF_COUNT(kinds)) {
		add_text(&line, "issued", kinds[a->issued->kind]);
		add_bytes(&line, "serial", a->issued->serial.bytes, a->issued->serial.size);
		add_text(&line, "subject", a->issued->subject);
	}
	if (a->gone)
		hf_buf_fmt(&line, " client=gone");
	if (a->more)
		hf_buf_fmt(&line, " more=%u", a->more);
	hf_buf_fmt(&line, " result=%d us=%" PRIu64, (int)a->rc, hf_audit_now_us() - a->started_us);
	if (!line.bad)
		hf_log(HF_LOG_NOTICE, "%s", (const char *)line.p);
}

void hf_audit_stray(struct hf_broker *b, const struct hf_principal *who, const char *op,
		    enum hf_rc rc)
{
	struct hf_strays *s = &b->strays;
	uint64_t now = hf_audit_now_us();
	struct hf_audit a = { .uid = who->uid,
			      .pid = who->pid,
			      .socket = who->socket,
			      .op = op,
			      .rc = rc,
			      .started_us = now };

	if (s->second != now / 1000000)
		s->lines = 0;
	s->second = now / 1000000;
	if (s->lines >= HF_AUDIT_STRAYS) {
		s->more++;
		return;
	}
	s->lines++;
	a.more = s->more;
	s->more = 0;
	hf_audit_write(b, &a);
}
