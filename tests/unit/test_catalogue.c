/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue on a real directory: every operation, every file missing or torn in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "broker/catalogue.h"
#include "broker/journal.h"
#include "wire/packet.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hf-cat.XXXXXX");
	hf_log_init("test", (enum hf_log_level)0);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static struct hf_made made(uint8_t n)
{
	static uint8_t ids[256][HF_ID_SIZE];

	memset(ids[n], n, HF_ID_SIZE);
	return (struct hf_made){ .algorithm = hf_algorithm_find(n % 2 ? "rsa-2048" : "ec-p256"), .id = ids[n], .spki = { ids[n], 20 },
				 .blob = { (const uint8_t *)"-----BEGIN", 10 },
				 .creation_data = { ids[n], 8 } };
}

static struct hf_key *create(struct hf_catalogue *c, const char *name, uint8_t n)
{
	struct hf_made m = made(n);
	struct hf_err e = HF_ERR_INIT;
	struct hf_key *k = NULL;

	assert_int_equal(hf_catalogue_create(c, name, "tpm", HF_USAGE_SIGN, &m, &k, &e), HF_OK);
	return k;
}

static void reopen(struct hf_catalogue *c)
{
	struct hf_err e = HF_ERR_INIT;

	hf_catalogue_close(c);
	assert_int_equal(hf_catalogue_open(c, dir, &e), HF_OK);
}

static void life_of_a_key(void **state)
{
	struct hf_catalogue c = { 0 };
	struct hf_err e = HF_ERR_INIT;
	struct hf_made m = made(2);
	struct hf_key *k;

	(void)state;
	reopen(&c);
	create(&c, "b", 1);
	create(&c, "a", 9);
	create(&c, "c", 8);
	reopen(&c);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.keys[0]->name, "a");
	k = hf_catalogue_find(&c, "b");
	assert_non_null(k);
	assert_int_equal(hf_catalogue_stage(&c, k, &m, &e), HF_OK);
	reopen(&c);
	k = hf_catalogue_find(&c, "b");
	assert_int_equal(k->n, 2);
	assert_int_equal(k->generations[k->current].id[0], 1);
	assert_int_equal(hf_catalogue_make_current(&c, k, hf_key_generation(k, m.id), 1000, 50, &e), HF_OK);
	reopen(&c);
	k = hf_catalogue_find(&c, "b");
	assert_int_equal(k->generations[k->current].id[0], 2);
	assert_string_equal(k->generations[k->current].algorithm->name, "ec-p256");
	assert_string_equal(k->generations[!k->current].algorithm->name, "rsa-2048");
	assert_int_equal(hf_catalogue_collect(&c, 1049), 1050);
	assert_int_equal(k->n, 2);
	assert_int_equal(hf_catalogue_collect(&c, 1050), 0);
	assert_int_equal(k->n, 1);
	assert_int_equal(hf_catalogue_retire(&c, k, &k->generations[0], &e), HF_REFUSED);
	assert_int_equal(hf_catalogue_set_issuer(&c, k, 77, (struct hf_view){ m.id, 30 }, &e), HF_OK);
	reopen(&c);
	k = hf_catalogue_find(&c, "b");
	assert_int_equal(k->n, 1);
	assert_int_equal(k->issuer_not_after, 77);
	assert_int_equal(k->issuer_subject.n, 30);
	assert_int_equal(hf_catalogue_find_id(&c, m.id).key == k, 1);
	assert_int_equal(hf_catalogue_create(&c, "b", "tpm", 1, &m, &k, &e), HF_EXISTS);
	assert_int_equal(hf_catalogue_delete(&c, hf_catalogue_find(&c, "b"), &e), HF_OK);
	reopen(&c);
	assert_null(hf_catalogue_find(&c, "b"));
	assert_int_equal(c.n, 2);
	assert_int_equal(c.set_aside, 0);
	hf_catalogue_close(&c);
}

/* A second name would be a second usage: a ca key that signs anything. */
static void one_key_pair_has_one_name(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_made m = made(9), n = made(10), o = made(11);
	struct hf_key *k, *other = NULL;
	struct hf_catalogue c;

	(void)state;
	assert_int_equal(hf_catalogue_open(&c, dir, &e), HF_OK);
	k = create(&c, "first", 9);
	assert_int_equal(hf_catalogue_create(&c, "second", "tpm", HF_USAGE_SIGN, &m, &other, &e), HF_EXISTS);
	assert_null(hf_catalogue_find(&c, "second"));
	assert_int_equal(hf_catalogue_stage(&c, k, &m, &e), HF_EXISTS);
	assert_int_equal(k->n, 1);
	assert_int_equal(hf_catalogue_stage(&c, k, &n, &e), HF_OK);
	assert_false(k->exported);
	o.outside = true;
	assert_int_equal(hf_catalogue_stage(&c, k, &o, &e), HF_OK);
	assert_true(k->exported);
	reopen(&c);
	k = hf_catalogue_find(&c, "first");
	assert_non_null(k);
	assert_true(k->exported && k->n == 3);
	assert_int_equal(c.set_aside, 0);
	assert_int_equal(hf_catalogue_delete(&c, k, &e), HF_OK);
	hf_catalogue_close(&c);
}

static void damage(const char *name, int how)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/keys/%s", dir, name);
	if (how == 0) {
		assert_int_equal(unlink(path), 0);
	} else if (how == 1) {
		assert_int_equal(truncate(path, 0), 0);
	} else if (how == 2) {
		assert_int_equal(truncate(path, 7), 0);
	} else {
		f = fopen(path, "r+");
		assert_non_null(f);
		(void)fputs("\xff\xff{\"", f);
		(void)fclose(f);
	}
}

/* Whatever one file suffers, the other keys work, nothing is deleted, and a second start is quiet. */
static void broken_files(void **state)
{
	char hex[65], names[3][128];
	struct hf_made m = made(5);
	int file, how;

	(void)state;
	assert_int_equal(remove_dir(NULL), 0); /* each case has its own */
	hf_hex(hex, sizeof(hex), m.id, 32);
	(void)snprintf(names[0], sizeof(names[0]), "bad/key.json");
	(void)snprintf(names[1], sizeof(names[1]), "bad/%s.json", hex);
	(void)snprintf(names[2], sizeof(names[2]), "bad/%s.pem", hex);
	for (file = 0; file < 3; file++)
		for (how = 0; how < 4; how++) {
			struct hf_catalogue c = { 0 };

			if (file == 2 && how > 1)
				continue; /* opaque to the broker: the keeper finds out */
			assert_int_equal(make_dir(NULL), 0);
			reopen(&c);
			create(&c, "good", 1);
			create(&c, "bad", 5);
			hf_catalogue_close(&c);
			damage(names[file], how);
			reopen(&c);
			assert_non_null(hf_catalogue_find(&c, "good"));
			assert_null(hf_catalogue_find(&c, "bad"));
			assert_true(c.set_aside >= 1);
			reopen(&c);
			assert_int_equal(c.set_aside, 0);
			create(&c, "bad", 6); /* the name is free again */
			hf_catalogue_close(&c);
			assert_int_equal(remove_dir(NULL), 0);
		}
	assert_int_equal(make_dir(NULL), 0);
}

/* A creation that was cut off before key.json leaves no key, and is found. */
static void interrupted(void **state)
{
	struct hf_catalogue c = { 0 };
	struct hf_made m = made(3), n = made(4);
	struct hf_err e = HF_ERR_INIT;
	char hex[65], name[128];
	struct hf_key *k;

	(void)state;
	reopen(&c);
	k = create(&c, "k", 3);
	assert_int_equal(hf_catalogue_stage(&c, k, &n, &e), HF_OK);
	hf_catalogue_close(&c);
	hf_hex(hex, sizeof(hex), n.id, 32);
	(void)snprintf(name, sizeof(name), "k/%s.json", hex);
	damage(name, 0); /* .pem without its record: cut between the two writes */
	reopen(&c);
	k = hf_catalogue_find(&c, "k");
	assert_non_null(k);
	assert_int_equal(k->n, 1);
	assert_memory_equal(k->generations[0].id, m.id, 32);
	assert_int_equal(c.set_aside, 1);
	hf_catalogue_close(&c);
}

static struct hf_issued issued(uint8_t serial, uint8_t tbs)
{
	struct hf_issued i = { .n_serial = 16, .not_after = 5, .subject = "CN=\"x\"\n" };

	memset(i.serial, serial, 16);
	memset(i.tbs_sha256, tbs, 32);
	return i;
}

static void journal(void **state)
{
	struct hf_journals j = { 0 };
	struct hf_err e = HF_ERR_INIT;
	struct hf_issued a = issued(1, 1), other = issued(1, 2), b = issued(2, 2);
	char path[128], line[512];
	int n, lines = 0;
	FILE *f;

	(void)state;
	assert_int_equal(hf_journals_open(&j, dir, &e), HF_OK);
	assert_int_equal(hf_journals_add(&j, "ca", &a, &e), HF_OK);
	assert_int_equal(hf_journals_add(&j, "ca", &a, &e), HF_OK); /* the answer was lost */
	assert_int_equal(hf_journals_add(&j, "ca", &other, &e), HF_REFUSED);
	assert_int_equal(hf_journals_add(&j, "ca2", &other, &e), HF_OK);
	hf_journals_close(&j);
	(void)snprintf(path, sizeof(path), "%s/journal/ca", dir);
	f = fopen(path, "a");
	(void)fputs("020202", f); /* the power went in the middle of a line */
	(void)fclose(f);
	assert_int_equal(hf_journals_open(&j, dir, &e), HF_OK);
	assert_int_equal(hf_journals_add(&j, "ca", &other, &e), HF_REFUSED);
	assert_int_equal(hf_journals_add(&j, "ca", &b, &e), HF_OK);
	for (n = 10; n < 200; n++) {
		struct hf_issued i = issued((uint8_t)n, (uint8_t)n);

		assert_int_equal(hf_journals_add(&j, "ca", &i, &e), HF_OK);
	}
	hf_journals_close(&j);
	assert_int_equal(hf_journals_open(&j, dir, &e), HF_OK);
	assert_int_equal(hf_journals_add(&j, "ca", &(struct hf_issued){ .n_serial = 16, .subject = "",
			 .serial = { 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2 } }, &e), HF_REFUSED);
	hf_journals_close(&j);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f)) {
		assert_non_null(strchr(line, '\n'));
		lines++;
	}
	(void)fclose(f);
	assert_int_equal(lines, 1 + 1 + 1 + 190);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(life_of_a_key, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(one_key_pair_has_one_name, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(broken_files, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(interrupted, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(journal, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
