/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h: what every command sees. A command fills c->result; how that is shown, as
 * JSON or as text, is not its business: the same object feeds both.
 */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include <json-c/json.h>
#include <stdbool.h>

#include "base/err.h"
#include "conf/paths.h"
#include "wire/packet.h"

#define HF_CLI_WORDS_MAX   4
#define HF_CLI_OPTIONS_MAX 64

struct hf_option {
	const char *name;  /* without the dashes */
	const char *value; /* for help: "FILE"; "NAME...": may be given again; NULL: takes none */
	const char *doc;
};

struct hf_cli;

struct hf_command {
	const char *noun;
	const char *verb;		 /* NULL: the noun is the whole command */
	const char *args;		 /* for help: "ID FILE" */
	unsigned min, max;		 /* how many arguments */
	const struct hf_option *options; /* ends with name == NULL; NULL: none */
	const char *doc;
	enum hf_rc (*run)(struct hf_cli *c, struct hf_err *e);
	void (*show)(const struct hf_cli *c); /* c->result as text, on stdout */
};

struct hf_cli {
	const struct hf_command *command;
	const char
		*noun; /* of the command line, if it is one; also when the command is not known */
	const char *words[HF_CLI_WORDS_MAX]; /* arguments; NULL beyond n_words */
	unsigned n_words;
	struct {
		const char *name, *value;
	} options[HF_CLI_OPTIONS_MAX];
	unsigned n_options;
	bool json;
	char root[HF_PATH_MAX]; /* absolute; "": the system */
	struct hf_paths paths;
	json_object *result;
	int exit; /* of a command that ended well */
	struct hf_session *session;
};

/* The commands, in the order of help; ends with noun == NULL. */
extern const struct hf_command hf_commands[];
/* Options that every command takes; ends with name == NULL. */
extern const struct hf_option hf_global_options[];

/* Value of an option of this invocation ("" for a flag), or NULL if it was not given. */
const char *hf_cli_option(const struct hf_cli *c, const char *name);

/*
 * Fills @c from the command line: command, words, options. @help is set if help was asked
 * for (then c->command may be NULL). HF_ARGUMENT, with the nearest known word.
 */
enum hf_rc hf_cli_parse(struct hf_cli *c, int argc, char **argv, bool *help, struct hf_err *e);

/* Usage of one command, of one noun, or (both NULL) of all, on stdout. */
void hf_help_print(const char *noun, const struct hf_command *command);

/* The commands. */
enum hf_rc hf_key_create(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_list(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_show(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_public(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_reference(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_import(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_export(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_rotate(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_delete(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_issuer(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_sign(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_token_list(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_token_provision(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_status(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_policy_explain(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_config_run_check(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_config_run_apply(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_config_run_init(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_config_run_explain(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_version(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_help(struct hf_cli *c, struct hf_err *e);

void hf_key_list_show(const struct hf_cli *c);
void hf_key_show_show(const struct hf_cli *c);
void hf_key_rotate_show(const struct hf_cli *c);
void hf_token_show(const struct hf_cli *c);
void hf_status_show(const struct hf_cli *c);
void hf_policy_explain_show(const struct hf_cli *c);
void hf_config_check_show(const struct hf_cli *c);
void hf_config_apply_show(const struct hf_cli *c);
void hf_config_explain_show(const struct hf_cli *c);

#endif
