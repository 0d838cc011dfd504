/* SPDX-License-Identifier: Apache-2.0 */
/* Help and version, from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "conf/nearest.h"

static void print_options(const struct hf_option *o)
{
	char left[40];

	for (; o && o->name; o++) {
		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			       o->value ? o->value : "");
		printf("  %-18s  %s\n", left, o->doc);
	}
}

static void print_line(const struct hf_command *k)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "%s%s%s %s", k->noun, k->verb ? " " : "",
		       k->verb ? k->verb : "", k->args);
	printf("  %-26s  %s\n", left, k->doc);
}

void hf_help_print(const char *noun, const struct hf_command *command)
{
	const struct hf_command *k;

	if (command) {
		printf("usage: holdfast %s%s%s%s%s%s\n%s\n\n", command->noun,
		       command->verb ? " " : "", command->verb ? command->verb : "",
		       command->args[0] ? " " : "", command->args, " [OPTION...]", command->doc);
		print_options(command->options);
		print_options(hf_global_options);
		return;
	}
	printf("usage: holdfast COMMAND [ARGUMENT...] [OPTION...]\n\n");
	for (k = hf_commands; k->noun; k++)
		if (!noun || !strcmp(k->noun, noun))
			print_line(k);
	printf("\n");
	print_options(hf_global_options);
	printf("\n'holdfast COMMAND --help' tells more, 'holdfast --version' which release this "
	       "is.\n"
	       "Exit status: 0 done, 1 failed, 2 usage or configuration, 3 denied or no such key,\n"
	       "4 broker or token not available.\n");
}

static json_object *command_json(const struct hf_command *k)
{
	json_object *o = json_object_new_object(), *options = json_object_new_array();
	const struct hf_option *p;

	hf_out_text(o, "noun", k->noun);
	if (k->verb)
		hf_out_text(o, "verb", k->verb);
	hf_out_text(o, "arguments", k->args);
	hf_out_text(o, "doc", k->doc);
	for (p = k->options; p && p->name; p++) {
		json_object *option = json_object_new_object();

		hf_out_text(option, "name", p->name);
		if (p->value)
			hf_out_text(option, "value", p->value);
		hf_out_text(option, "doc", p->doc);
		json_object_array_add(options, option);
	}
	json_object_object_add(o, "options", options);
	return o;
}

enum hf_rc hf_help(struct hf_cli *c, struct hf_err *e)
{
	const struct hf_command *k, *found = NULL;
	json_object *list = json_object_new_array();
	const char *noun = c->words[0], *verb = c->words[1];
	struct hf_nearest near;

	hf_nearest_init(&near, noun ? noun : "");
	for (k = hf_commands; k->noun; k++) {
		hf_nearest_try(&near, k->noun);
		if ((noun && strcmp(k->noun, noun)) ||
		    (verb && (!k->verb || strcmp(k->verb, verb))))
			continue;
		json_object_array_add(list, command_json(k));
		found = k;
	}
	json_object_object_add(c->result, "commands", list);
	if (!found)
		return hf_fail(e, HF_ARGUMENT, "there is no command '%.40s%s%.40s'%s%s%s", noun,
			       verb ? " " : "", verb ? verb : "",
			       near.best ? "; did you mean '" : "", near.best ? near.best : "",
			       near.best ? "'?" : "");
	if (!c->json)
		hf_help_print(noun, json_object_array_length(list) == 1 ? found : NULL);
	return HF_OK;
}

enum hf_rc hf_version(struct hf_cli *c, struct hf_err *e)
{
	(void)e;
	hf_out_text(c->result, "version", HF_VERSION);
	hf_out_number(c->result, "wire", HF_WIRE_VERSION);
	hf_out_line(c, "holdfast %s (wire %d)", HF_VERSION, HF_WIRE_VERSION);
	return HF_OK;
}
