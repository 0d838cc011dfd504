/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inventory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/certview.h"

#define JSON_MAX	(4u << 20)
#define CREDENTIALS_MAX 1024u

json_object *hf_inventory_at(json_object *o, const char *path)
{
	char name[64];
	size_t n;

	while (o && *path) {
		n = strcspn(path, ".");
		if (n >= sizeof(name))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		if (!json_object_is_type(o, json_type_object) ||
		    !json_object_object_get_ex(o, name, &o))
			return NULL;
		path += n + (path[n] == '.');
	}
	return o;
}

const char *hf_inventory_text(json_object *o, const char *path)
{
	json_object *v = hf_inventory_at(o, path);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

int64_t hf_inventory_number(json_object *o, const char *path)
{
	json_object *v = hf_inventory_at(o, path);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
}

bool hf_inventory_true(json_object *o, const char *path)
{
	json_object *v = hf_inventory_at(o, path);

	return json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

static json_object *read_json(const char *path, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(JSON_MAX);
	json_object *o = NULL;
	json_tokener *t;

	if (hf_file_read(path, false, &text, e))
		return NULL;
	t = json_tokener_new();
	if (t && text.n)
		o = json_tokener_parse_ex(t, (const char *)text.p, (int)text.n);
	if (t)
		json_tokener_free(t);
	if (json_object_is_type(o, json_type_object) && hf_inventory_number(o, "version") == 1)
		return o;
	(void)hf_fail(e, HF_CORRUPT, "%s: not what it should be, or of another release", path);
	json_object_put(o);
	return NULL;
}

static const char *list_text(json_object *list, size_t i, const char *member)
{
	return hf_inventory_text(json_object_array_get_idx(list, i), member);
}

static json_object *status_of(const struct hf_inventory *i, const char *id)
{
	json_object *list = hf_inventory_at(i->status, "credentials");
	size_t j;

	if (!json_object_is_type(list, json_type_array))
		return NULL;
	for (j = 0; j < json_object_array_length(list); j++)
		if (!strcmp(list_text(list, j, "id"), id))
			return json_object_array_get_idx(list, j);
	return NULL;
}

static void fill(struct hf_inventory *i, struct hf_credview *v, json_object *o, bool conf)
{
	v->id = hf_inventory_text(o, "id");
	v->role = hf_inventory_text(o, "role");
	v->file = hf_inventory_text(o, "file");
	v->conf = conf ? o : NULL;
	v->status = conf ? status_of(i, v->id) : o;
	if (!v->file[0])
		(void)hf_fail(&v->cert_err, HF_FAILED, "it has no file");
	else if (hf_certview_read(v->file, &v->certs, &v->cert_err)) {
		hf_certview_free(v->certs);
		v->certs = NULL;
	}
}

/* Who may not read agent.json (it has secrets) still gets what the agent tells everybody. */
static enum hf_rc list(struct hf_inventory *i, struct hf_err *e)
{
	json_object *from = hf_inventory_at(i->agent ? i->agent : i->status, "credentials");
	size_t j,
		n = json_object_is_type(from, json_type_array) ? json_object_array_length(from) : 0;

	if (n > CREDENTIALS_MAX)
		n = CREDENTIALS_MAX;
	i->list = n ? calloc(n, sizeof(*i->list)) : NULL;
	if (n && !i->list)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	for (j = 0; j < n; j++)
		fill(i, &i->list[j], json_object_array_get_idx(from, j), i->agent != NULL);
	i->n = n;
	return HF_OK;
}

/* A pid may long be another program's, so its name has to fit; where /proc hides it, it may. */
static bool is_agent(int64_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	if (pid <= 0 || pid > INT32_MAX || (kill((pid_t)pid, 0) && errno != EPERM))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%lld/comm", (long long)pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	(void)fclose(f);
	return !strncmp(name, "holdfast-agent", 14);
}

static void find_status(const struct hf_cli *c, struct hf_inventory *i)
{
	const char *dir = hf_inventory_text(i->agent, "run_dir");
	struct hf_err ignored = HF_ERR_INIT;

	if (dir[0])
		(void)hf_path_join(i->status_path, dir, "status.json", &ignored);
	else
		(void)hf_path_join(i->status_path, c->paths.agent_run, "status.json", &ignored);
}

enum hf_rc hf_inventory_load(const struct hf_cli *c, struct hf_inventory *out, struct hf_err *e)
{
	memset(out, 0, sizeof(*out));
	(void)hf_copy(out->agent_path, sizeof(out->agent_path), c->paths.agent_file);
	out->agent = read_json(out->agent_path, &out->agent_err);
	find_status(c, out);
	out->status = read_json(out->status_path, &out->status_err);
	out->alive = is_agent(hf_inventory_number(out->status, "pid"));
	return list(out, e);
}

void hf_inventory_finish(struct hf_inventory *i)
{
	size_t j;

	for (j = 0; j < i->n; j++)
		hf_certview_free(i->list[j].certs);
	free(i->list);
	json_object_put(i->agent);
	json_object_put(i->status);
	memset(i, 0, sizeof(*i));
}

struct hf_credview *hf_inventory_find(const struct hf_inventory *i, const char *id)
{
	json_object *names;
	size_t j, k;

	for (j = 0; j < i->n; j++) {
		if (!strcmp(i->list[j].id, id))
			return &i->list[j];
		names = hf_inventory_at(i->list[j].conf, "aliases");
		for (k = 0; json_object_is_type(names, json_type_array) &&
			    k < json_object_array_length(names);
		     k++)
			if (!strcmp(json_object_get_string(json_object_array_get_idx(names, k)),
				    id))
				return &i->list[j];
	}
	return NULL;
}
