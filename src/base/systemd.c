/* SPDX-License-Identifier: Apache-2.0 */
#include "base/systemd.h"

#include "base/file.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A small decimal number and nothing else; -1 otherwise. */
static long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || !text[0])
		return -1;
	n = strtol(text, &end, 10);
	return *end ? -1 : n;
}

int hf_systemd_sockets(char names[][HF_SYSTEMD_NAME], int max)
{
	const char *list = getenv("LISTEN_FDNAMES");
	long n = number_of("LISTEN_PID") == (long)getpid() ? number_of("LISTEN_FDS") : 0;
	int i;

	n = n < 0 ? 0 : n > max ? max : n;
	for (i = 0; i < n; i++) {
		size_t len = list ? strcspn(list, ":") : 0;

		if (len >= HF_SYSTEMD_NAME)
			len = HF_SYSTEMD_NAME - 1;
		memcpy(names[i], list ? list : "", len);
		names[i][len] = '\0';
		list = list && list[len] == ':' ? list + len + 1 : NULL;
		(void)fcntl(HF_SYSTEMD_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return (int)n;
}

void hf_systemd_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	HF_AUTO_FD fd = -1;

	if (n < 2 || n >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}
