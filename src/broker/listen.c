/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/systemd.h"
#include "broker/scrape.h"

/* The lock says who serves the path; it survives no process, unlike the socket file. */
static enum hf_rc take_lock(const char *path, int *lock, struct hf_err *e)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%s.lock", path);
	*lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*lock < 0)
		return hf_fail_errno(e, HF_IO, "%s", name);
	if (!flock(*lock, LOCK_EX | LOCK_NB))
		return HF_OK;
	hf_fd_close(lock);
	return hf_fail(e, HF_EXISTS, "%s is served by another holdfastd; stop that one first",
		       path);
}

static enum hf_rc check_path(const char *path, struct hf_err *e)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? HF_OK : hf_fail_errno(e, HF_IO, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return hf_fail(e, HF_REFUSED, "%s is in the way and is not a socket; remove it",
			       path);
	return HF_OK; /* nobody holds its lock: it is left over */
}

static enum hf_rc ids_of(const struct hf_socket_conf *c, uid_t *uid, gid_t *gid, struct hf_err *e)
{
	struct passwd *pw = c->owner[0] ? getpwnam(c->owner) : NULL;
	struct group *gr = c->group[0] ? getgrnam(c->group) : NULL;

	if (c->owner[0] && !pw)
		return hf_fail(e, HF_ARGUMENT, "socket %s: there is no user '%s'", c->name,
			       c->owner);
	if (c->group[0] && !gr)
		return hf_fail(e, HF_ARGUMENT, "socket %s: there is no group '%s'", c->name,
			       c->group);
	*uid = pw ? pw->pw_uid : (uid_t)-1;
	*gid = gr ? gr->gr_gid : (gid_t)-1;
	return HF_OK;
}

static enum hf_rc bind_path(int fd, const struct hf_socket_conf *c, struct hf_err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	enum hf_rc rc = ids_of(c, &uid, &gid, e);

	if (rc)
		return rc;
	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s.new", c->path) >=
	    (int)sizeof(at.sun_path))
		return hf_fail(e, HF_ARGUMENT, "socket path %s is too long; %zu bytes are possible",
			       c->path, sizeof(at.sun_path) - sizeof(".new"));
	rc = check_path(at.sun_path, e);
	if (rc)
		return rc;
	(void)unlink(at.sun_path); /* of a start that was cut short; the lock is ours */
	/* It gets its name when it is ready: nobody finds a socket that refuses, or is too open. */
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return hf_fail_errno(e, HF_IO, "cannot listen at %s", c->path);
	if (lchown(at.sun_path, uid, gid))
		rc = hf_fail_errno(
			e, HF_IO,
			"socket %s cannot be given to '%s:%s' by who is neither root nor in "
			"that group; see [[socket]] in holdfast-config(5)",
			c->path, c->owner, c->group);
	else if (chmod(at.sun_path, c->mode) || listen(fd, 512) || rename(at.sun_path, c->path))
		rc = hf_fail_errno(e, HF_IO, "cannot listen at %s", c->path);
	if (rc) {
		(void)unlink(at.sun_path);
		return e->rc;
	}
	return HF_OK;
}

static enum hf_rc make_dir(const char *path, struct hf_err *e)
{
	char dir[108];
	char *slash;

	(void)hf_copy(dir, sizeof(dir), path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return HF_OK;
	*slash = '\0';
	return hf_dir_make(dir, 0755, e);
}

static enum hf_rc open_one(struct hf_listeners *l, const struct hf_socket_conf *c, bool metrics,
			   struct hf_err *e)
{
	struct hf_listener *to = &l->each[l->n];
	int lock = -1, fd;
	enum hf_rc rc;

	rc = make_dir(c->path, e);
	if (!rc)
		rc = hf_path_trusted(c->path, e);
	if (!rc)
		rc = take_lock(c->path, &lock, e);
	if (rc)
		return rc;
	l->made[l->n_made].lock = lock; /* from here on hf_listeners_close() tidies up */
	l->made[l->n_made++].path[0] = '\0';
	rc = check_path(c->path, e);
	if (rc)
		return rc;
	(void)hf_copy(l->made[l->n_made - 1].path, sizeof(l->made[0].path), c->path);
	fd = socket(AF_UNIX,
		    (metrics ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return hf_fail_errno(e, HF_IO, "socket");
	to->source = (struct hf_source){ .fd = fd,
					 .ready = metrics ? hf_scrape_accept : hf_conn_accept };
	(void)hf_copy(to->name, sizeof(to->name), c->name);
	l->n++;
	return bind_path(fd, c, e);
}

/* The unit's FileDescriptorName says which of our sockets it is. */
static enum hf_rc take_activated(struct hf_listeners *l, const struct hf_settings *s,
				 struct hf_err *e)
{
	char names[HF_SOCKETS_MAX + 1][HF_SYSTEMD_NAME];
	int n = hf_systemd_sockets(names, HF_COUNT(names)), i;
	size_t k;

	for (i = 0; i < n; i++) {
		struct hf_listener *to = &l->each[l->n];
		int fd = HF_SYSTEMD_FIRST_FD + i, type = 0;
		socklen_t size = sizeof(type);
		bool metrics = s->n_metrics && !strcmp(names[i], s->metrics[0].name);

		for (k = 0; k < s->n_sockets && strcmp(s->sockets[k].name, names[i]); k++)
			;
		if ((k == s->n_sockets && !metrics) ||
		    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) ||
		    type != (metrics ? SOCK_STREAM : SOCK_SEQPACKET))
			return hf_fail(
				e, HF_ARGUMENT,
				"systemd handed over a socket called '%s' that "
				"is no [[socket]] of config.toml, or not ListenSequentialPacket",
				names[i]);
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		to->source =
			(struct hf_source){ .fd = fd,
					    .ready = metrics ? hf_scrape_accept : hf_conn_accept };
		(void)hf_copy(to->name, sizeof(to->name), names[i]);
		l->n++;
	}
	return HF_OK;
}

enum hf_rc hf_listeners_open(struct hf_listeners *l, const struct hf_settings *s, struct hf_err *e)
{
	enum hf_rc rc;
	size_t i, k;

	memset(l, 0, sizeof(*l));
	rc = take_activated(l, s, e);
	for (i = 0; i < s->n_sockets + s->n_metrics && !rc; i++) {
		bool metrics = i == s->n_sockets;
		const struct hf_socket_conf *c = metrics ? s->metrics : &s->sockets[i];

		for (k = 0; k < l->n && strcmp(l->each[k].name, c->name); k++)
			;
		if (k == l->n)
			rc = open_one(l, c, metrics, e);
	}
	if (rc)
		hf_listeners_close(l);
	return rc;
}

void hf_listeners_close(struct hf_listeners *l)
{
	char name[128];
	size_t i;

	for (i = 0; i < l->n; i++)
		hf_fd_close(&l->each[i].source.fd);
	for (i = 0; i < l->n_made; i++) {
		if (!l->made[i].path[0]) {
			hf_fd_close(&l->made[i].lock);
			continue;
		}
		(void)unlink(l->made[i].path);
		(void)snprintf(name, sizeof(name), "%s.lock", l->made[i].path);
		(void)unlink(name);
		hf_fd_close(&l->made[i].lock);
	}
	l->n = l->n_made = 0;
}
