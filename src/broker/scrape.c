/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/scrape.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/process.h"
#include "broker/broker.h"
#include "broker/conn.h"

#define SILENCE_MS 250u /* of who wants the page bare */

static void end(struct hf_broker *b, struct hf_scrape *r)
{
	hf_loop_forget(b, &r->source);
	r->due = 0;
}

static void answer(struct hf_broker *b, struct hf_scrape *r, const char *said, size_t n)
{
	HF_AUTO_BUF page = HF_BUF(HF_METRICS_TEXT), out = HF_BUF(HF_METRICS_TEXT + 256);
	bool get = n >= 4 && !memcmp(said, "GET ", 4);

	if (get || !n)
		hf_metrics_text(b, &page);
	else
		hf_buf_str(&page, "only GET is answered here\n");
	if (n)
		hf_buf_fmt(&out,
			   "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\n"
			   "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			   get ? "200 OK" : "405 Method Not Allowed", page.n);
	hf_buf_add(&out, page.p, page.n);
	/* The kernel's buffer takes the whole page; of who left it full there is nothing to save.
	 */
	if (!out.bad && !page.bad)
		(void)send(r->source.fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	end(b, r);
}

static void scrape_ready(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	struct hf_scrape *r = (struct hf_scrape *)s;
	char said[2048];
	ssize_t n = recv(s->fd, said, sizeof(said), MSG_DONTWAIT);

	(void)events;
	if (n >= 0)
		answer(b, r, said, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		end(b, r);
}

void hf_scrape_accept(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	struct hf_scrape *r = b->scrapes, *at;
	int fd = hf_conn_take(b, s);

	(void)events;
	if (fd < 0)
		return;
	for (at = b->scrapes; at < b->scrapes + HF_SCRAPES_MAX; at++)
		if (at->due < r->due)
			r = at; /* a free one, or the oldest */
	if (r->due)
		end(b, r);
	r->source = (struct hf_source){ .fd = fd, .ready = scrape_ready };
	r->due = hf_now_ms() + SILENCE_MS;
	if (hf_loop_watch(b, &r->source, EPOLLIN, NULL))
		end(b, r);
}

uint64_t hf_scrape_expire(struct hf_broker *b, uint64_t now)
{
	struct hf_scrape *r;
	uint64_t first = 0;

	for (r = b->scrapes; r < b->scrapes + HF_SCRAPES_MAX; r++) {
		if (r->due && r->due <= now)
			answer(b, r, NULL, 0);
		else if (r->due && (!first || r->due < first))
			first = r->due;
	}
	return first;
}

void hf_scrape_close(struct hf_broker *b)
{
	struct hf_scrape *r;

	for (r = b->scrapes; r < b->scrapes + HF_SCRAPES_MAX; r++)
		if (r->due)
			end(b, r);
}
