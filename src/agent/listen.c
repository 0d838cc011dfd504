/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/systemd.h"

#define BACKLOG 128

/* One that a killed agent has left; never a file of others. */
static enum hf_rc remove_stale(const struct sockaddr_un *a, struct hf_err *e)
{
	HF_AUTO_FD probe = -1;
	struct stat st;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? HF_OK : hf_fail_errno(e, HF_IO, "%s", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return hf_fail(e, HF_EXISTS, "%s is there and is no socket; move it away",
			       a->sun_path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe >= 0 &&
	    (!connect(probe, (const struct sockaddr *)a, sizeof(*a)) || errno == EAGAIN))
		return hf_fail(e, HF_BUSY, "%s: another holdfast-agent answers there", a->sun_path);
	if (unlink(a->sun_path) && errno != ENOENT)
		return hf_fail_errno(e, HF_IO, "%s: cannot remove it", a->sun_path);
	return HF_OK;
}

static void give(const struct hf_agent_socket *s)
{
	const struct passwd *pw = s->owner[0] ? getpwnam(s->owner) : NULL;
	const struct group *gr = s->group[0] ? getgrnam(s->group) : NULL;
	uid_t uid = pw ? pw->pw_uid : (uid_t)-1;
	gid_t gid = gr ? gr->gr_gid : (gid_t)-1;

	if ((s->owner[0] && !pw) || (s->group[0] && !gr))
		hf_log(HF_LOG_WARN, "socket %s: there is no %s %s", s->path,
		       s->owner[0] && !pw ? "user" : "group",
		       s->owner[0] && !pw ? s->owner : s->group);
	if (chown(s->path, uid, gid))
		hf_log(HF_LOG_WARN, "socket %s: cannot give it to %s:%s: %s", s->path, s->owner,
		       s->group, strerror(errno));
}

enum hf_rc hf_listen_take(struct hf_agent_settings *s, struct hf_err *e)
{
	char names[HF_COUNT(s->sockets) + 1][HF_SYSTEMD_NAME];
	int n = hf_systemd_sockets(names, HF_COUNT(names)), i;
	size_t k;

	for (i = 0; i < n; i++) {
		int fd = HF_SYSTEMD_FIRST_FD + i, type = 0;
		socklen_t size = sizeof(type);

		for (k = 0; k < s->n_sockets && strcmp(s->sockets[k].name, names[i]); k++)
			;
		if (k == s->n_sockets || s->sockets[k].given ||
		    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_STREAM)
			return hf_fail(e, HF_ARGUMENT,
				       "systemd handed over a socket called '%s', which is neither "
				       "certd nor workload, comes twice, or is no ListenStream",
				       names[i]);
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		s->sockets[k].given = fd;
	}
	return HF_OK;
}

enum hf_rc hf_listen_open(const struct hf_agent_socket *s, int *fd, struct hf_err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[sizeof(a.sun_path)], *slash;

	if (s->given) {
		*fd = s->given;
		return HF_OK;
	}
	if (!hf_copy(a.sun_path, sizeof(a.sun_path), s->path))
		return hf_fail(e, HF_ARGUMENT, "%s is too long for a socket", s->path);
	(void)hf_copy(dir, sizeof(dir), s->path);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		if (hf_dir_make(dir, 0755, e))
			return e->rc;
	}
	if (remove_stale(&a, e))
		return e->rc;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Nobody gets in before listen(), and by then it is whose it has to be. */
	if (*fd < 0 || bind(*fd, (const struct sockaddr *)&a, sizeof(a)))
		return hf_fail_errno(e, HF_IO, "%s: cannot make the socket", s->path);
	give(s);
	if (chmod(s->path, (mode_t)s->mode) || listen(*fd, BACKLOG))
		return hf_fail_errno(e, HF_IO, "%s: cannot open the socket", s->path);
	return HF_OK;
}
