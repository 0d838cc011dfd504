/* SPDX-License-Identifier: Apache-2.0 */
/* What `config check` prints: the files, and the certificates that come out of them. */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"

static json_object *in(json_object *o, const char *name)
{
	return json_object_object_get(o, name);
}

static bool truth(json_object *o, const char *name)
{
	return json_object_get_boolean(in(o, name));
}

/* "80%", "10d", "12h", "90min" */
static char *when(json_object *o, char *out, size_t size)
{
	int64_t percent = json_object_get_int64(in(o, "percent"));
	int64_t seconds = json_object_get_int64(in(o, "seconds"));

	if (percent)
		(void)snprintf(out, size, "at %lld%%", (long long)percent);
	else if (seconds % 86400 == 0)
		(void)snprintf(out, size, "%lldd before", (long long)seconds / 86400);
	else if (seconds % 3600 == 0)
		(void)snprintf(out, size, "%lldh before", (long long)seconds / 3600);
	else
		(void)snprintf(out, size, "%lldmin before", (long long)seconds / 60);
	return out;
}

static void set_renewal(json_object *row, json_object *credential)
{
	json_object *renew = in(credential, "renew"), *window = in(renew, "window");
	int from = json_object_get_int(in(window, "from_min"));
	int to = json_object_get_int(in(window, "to_min"));
	char text[80], threshold[40], hours[32] = "";

	if (!truth(renew, "enabled")) {
		hf_out_text(row, "renewal", "never");
		return;
	}
	if (from >= 0)
		(void)snprintf(hours, sizeof(hours), ", %02d:%02d-%02d:%02d", from / 60, from % 60,
			       to / 60, to % 60);
	(void)snprintf(text, sizeof(text), "%s, %s key%s",
		       when(in(renew, "threshold"), threshold, sizeof(threshold)),
		       truth(renew, "rotate_key") ? "new" : "same", hours);
	hf_out_text(row, "renewal", text);
}

static json_object *row_of(json_object *credential)
{
	json_object *row = json_object_new_object();
	const char *method = hf_out_get(credential, "method");
	const char *days = hf_out_get(credential, "days"), *issuer = method;
	const char *key = hf_out_get(in(credential, "key"), "name");

	if (!strcmp(method, "self_signed"))
		issuer = truth(credential, "quickstart") ? "itself (quickstart)" : "itself";
	else if (!strcmp(method, "local_ca"))
		issuer = hf_out_get(credential, "issuer");
	else if (!strcmp(method, "est"))
		issuer = hf_out_get(in(credential, "est"), "url");
	hf_out_text(row, "id", hf_out_get(credential, "id"));
	hf_out_text(row, "issuer", issuer);
	hf_out_text(row, "days", strcmp(days, "0") ? days : "-");
	set_renewal(row, credential);
	hf_out_text(row, "key", key[0] ? key : "-");
	hf_out_text(row, "file", hf_out_get(credential, "file"));
	return row;
}

void hf_config_check_show(const struct hf_cli *c)
{
	static const struct hf_column columns[] = {
		{ "CERTIFICATE", "id" },  { "ISSUED BY", "issuer" }, { "DAYS", "days" },
		{ "RENEWED", "renewal" }, { "KEY", "key" },	     { "FILE", "file" },
		{ NULL, NULL },
	};
	json_object *files = in(c->result, "files"), *rows = json_object_new_array();
	json_object *credentials = in(in(c->result, "agent"), "credentials");
	size_t i, n = json_object_array_length(files);

	for (i = 0; i < n; i++)
		printf("%s: good\n", json_object_get_string(json_object_array_get_idx(files, i)));
	if (!n)
		printf("no configuration files: defaults\n");
	for (i = 0; i < json_object_array_length(credentials); i++)
		json_object_array_add(rows, row_of(json_object_array_get_idx(credentials, i)));
	if (i) {
		printf("\n");
		hf_out_table(rows, columns);
	}
	json_object_put(rows);
}
