/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, good and hostile, as a ca key may be asked to sign them. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/x509v3.h>
#include <string.h>

#include "cafixture.h"

/* ---- what is done to a good certificate */

static void nothing(X509 *x) { (void)x; }
static void v1(X509 *x)
{
	while (X509_get_ext_count(x))
		X509_EXTENSION_free(X509_delete_ext(x, 0));
	assert_true(X509_set_version(x, 0));
}
static void v2(X509 *x)
{
	v1(x);
	assert_true(X509_set_version(x, 1));
}
static void ca_true(X509 *x) { ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE"); }
static void ca_true_pathlen(X509 *x) { ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"); }
static void no_constraints(X509 *x) { ca_set_ext(x, NID_basic_constraints, NULL); }
static void no_extensions(X509 *x)
{
	while (X509_get_ext_count(x))
		X509_EXTENSION_free(X509_delete_ext(x, 0));
}
static void loose_constraints(X509 *x) { ca_set_ext(x, NID_basic_constraints, "CA:FALSE"); }
static void false_pathlen(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, NULL);
	ca_add_raw(x, "2.5.29.19", 1, "\x30\x03\x02\x01\x00", 5);
}
static void explicit_false(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, NULL);
	ca_add_raw(x, "2.5.29.19", 1, "\x30\x03\x01\x01\x00", 5);
}
static void ber_true(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, NULL);
	ca_add_raw(x, "2.5.29.19", 1, "\x30\x03\x01\x01\x01", 5);
}
static void constraints_twice(X509 *x) { ca_add_raw(x, "2.5.29.19", 1, "\x30\x03\x01\x01\xff", 5); }
static void constraints_and_more(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, NULL);
	ca_add_raw(x, "2.5.29.19", 1, "\x30\x00\x30\x03\x01\x01\xff", 7);
}
static void constraints_junk(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, NULL);
	ca_add_raw(x, "2.5.29.19", 1, "\x04\x01x", 3);
}
static void cert_sign(X509 *x) { ca_set_ext(x, NID_key_usage, "critical,digitalSignature,keyCertSign"); }
static void crl_sign(X509 *x) { ca_set_ext(x, NID_key_usage, "cRLSign"); }
static void no_usage(X509 *x) { ca_set_ext(x, NID_key_usage, NULL); }
static void ocsp(X509 *x) { ca_set_ext(x, NID_ext_key_usage, "serverAuth,OCSPSigning"); }
static void unknown_critical(X509 *x) { ca_add_raw(x, "1.3.6.1.4.1.99999.1", 1, "\x05\x00", 2); }
static void unknown_harmless(X509 *x) { ca_add_raw(x, "1.3.6.1.4.1.99999.1", 0, "\x05\x00", 2); }
static void unknown_not_der(X509 *x) { ca_add_raw(x, "1.3.6.1.4.1.99999.1", 0, "hello", 5); }
static void constraints_on_policies(X509 *x) { ca_add_raw(x, "2.5.29.36", 1, "\x30\x03\x80\x01\x00", 5); }
static void serial_short(X509 *x) { ca_set_serial(x, "41424344454647"); }
static void serial_8(X509 *x) { ca_set_serial(x, "4142434445464748"); }
static void serial_zero(X509 *x) { ca_set_serial(x, "0"); }
static void serial_one(X509 *x) { ca_set_serial(x, "1"); }
static void serial_negative(X509 *x) { ca_set_serial(x, "-4142434445464748494a"); }
static void serial_20(X509 *x) { ca_set_serial(x, "7142434445464748494a4b4c4d4e4f5051525354"); }
static void serial_20_high(X509 *x) { ca_set_serial(x, "8142434445464748494a4b4c4d4e4f5051525354"); }
static void serial_21(X509 *x) { ca_set_serial(x, "714243444546474849414b4c4d4e4f505152535455"); }
static void days_90(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(90)); }
static void days_90_backdated(X509 *x) { ca_set_times(x, NOW - 300, NOW + DAYS(90)); }
static void days_91(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(91)); }
static void years_100(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(36500)); }
static void reversed(X509 *x) { ca_set_times(x, NOW + 10, NOW + 5); }
static void equal_times(X509 *x) { ca_set_times(x, NOW, NOW); }
static void future(X509 *x) { ca_set_times(x, NOW + DAYS(2), NOW + DAYS(10)); }
static void past(X509 *x) { ca_set_times(x, NOW - DAYS(3), NOW + DAYS(10)); }
static void expired(X509 *x) { ca_set_times(x, NOW - 7200, NOW - 3600); }
static void beyond_issuer(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(60) + 1); }
static void until_issuer(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(60)); }
static void four_digit_year(X509 *x)
{
	ASN1_TIME *t = ASN1_TIME_new();

	assert_true(ASN1_GENERALIZEDTIME_set_string(t, "20270201000000Z"));
	assert_true(X509_set1_notAfter(x, t));
	ASN1_TIME_free(t);
}
static void other_issuer(X509 *x)
{
	X509_NAME *n = X509_NAME_new();

	ca_add_name(n, NID_commonName, "another ca");
	assert_true(X509_set_issuer_name(x, n));
	X509_NAME_free(n);
}
static void subject_of_issuer(X509 *x) { X509_set_subject_name(x, X509_get_issuer_name(x)); }
static void no_subject(X509 *x)
{
	X509_NAME *n = X509_NAME_new();

	assert_true(X509_set_subject_name(x, n));
	X509_NAME_free(n);
}
static void second_cn(X509 *x) { ca_add_name(X509_get_subject_name(x), NID_commonName, "evil"); }
static void nul_in_cn(X509 *x)
{
	assert_true(X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_ASC,
					       (const unsigned char *)"a\0b", 3, -1, 0));
}
static void foreign_dns(X509 *x) { ca_set_ext(x, NID_subject_alt_name, "DNS:module-1.example,DNS:bank.test"); }
static void foreign_ip(X509 *x) { ca_set_ext(x, NID_subject_alt_name, "IP:192.168.0.1"); }
static void foreign_uri(X509 *x) { ca_set_ext(x, NID_subject_alt_name, "URI:urn:other"); }
static void dir_name(X509 *x)
{
	ca_set_ext(x, NID_subject_alt_name, NULL);
	ca_add_raw(x, "2.5.29.17", 0, "\x30\x04\xa4\x02\x30\x00", 6);
}
static void short_ip(X509 *x)
{
	ca_set_ext(x, NID_subject_alt_name, NULL);
	ca_add_raw(x, "2.5.29.17", 0, "\x30\x05\x87\x03\x0a\x00\x00", 7);
}
static void nul_in_dns(X509 *x)
{
	ca_set_ext(x, NID_subject_alt_name, NULL);
	ca_add_raw(x, "2.5.29.17", 0, "\x30\x05\x82\x03" "a\0b", 7);
}
static void key_1024(X509 *x) { X509_set_pubkey(x, ca_keys.rsa1024); }
static void key_2048(X509 *x) { X509_set_pubkey(x, ca_keys.rsa2048); }
static void key_p224(X509 *x) { X509_set_pubkey(x, ca_keys.p224); }
static void key_ed25519(X509 *x) { X509_set_pubkey(x, ca_keys.ed25519); }
static void key_own(X509 *x) { X509_set_pubkey(x, ca_keys.own); }
static void key_own_compressed(X509 *x)
{
	EVP_PKEY *k = EVP_PKEY_dup(ca_keys.own);

	assert_true(EVP_PKEY_set_utf8_string_param(k, "point-format", "compressed"));
	assert_true(X509_set_pubkey(x, k));
	EVP_PKEY_free(k);
}
static void self_pathlen_1(X509 *x) { ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:1"); }
static void self_no_pathlen(X509 *x) { ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE"); }
static void self_not_critical(X509 *x) { ca_set_ext(x, NID_basic_constraints, "CA:TRUE,pathlen:0"); }
static void self_leaf(X509 *x) { ca_set_ext(x, NID_basic_constraints, "critical,CA:FALSE"); }
static void self_no_cert_sign(X509 *x) { ca_set_ext(x, NID_key_usage, "critical,digitalSignature"); }
static void self_years_11(X509 *x) { ca_set_times(x, NOW, NOW + DAYS(4015)); }
static void self_2050(X509 *x) { ca_set_times(x, NOW, 2540000000); }
static void constrained(X509 *x) { ca_set_ext(x, NID_name_constraints, "critical,permitted;DNS:example"); }

enum kind { LEAF, SELF };

static const struct row {
	const char *what;
	enum kind kind;
	void (*change)(X509 *);
	const char *refusal; /* a part of the message; NULL: it is signed */
	const char *name;    /* the profile's one glob */
} rows[] = {
	{ "leaf", LEAF, nothing, NULL, NULL },
	{ "leaf with constraints that are not critical", LEAF, loose_constraints, NULL, NULL },
	{ "leaf for RSA-2048", LEAF, key_2048, NULL, NULL },
	{ "leaf for Ed25519", LEAF, key_ed25519, NULL, NULL },
	{ "leaf without key usage", LEAF, no_usage, NULL, NULL },
	{ "leaf with an unknown extension", LEAF, unknown_harmless, NULL, NULL },
	{ "leaf without subject", LEAF, no_subject, NULL, NULL },
	{ "serial of 8 octets", LEAF, serial_8, NULL, NULL },
	{ "serial of 20 octets", LEAF, serial_20, NULL, NULL },
	{ "until the issuer ends", LEAF, until_issuer, NULL, NULL },
	{ "names that fit", LEAF, nothing, NULL, "*" },
	{ "version 1", LEAF, v1, "-extfile", NULL },
	{ "version 2", LEAF, v2, "-extfile", NULL },
	{ "CA:TRUE", LEAF, ca_true, "would be a CA", NULL },
	{ "CA:TRUE, pathlen 0", LEAF, ca_true_pathlen, "would be a CA", NULL },
	{ "no constraints", LEAF, no_constraints, "basicConstraints=critical,CA:FALSE", NULL },
	{ "no extensions at all", LEAF, no_extensions, "basicConstraints=critical,CA:FALSE", NULL },
	{ "CA:FALSE with pathlen", LEAF, false_pathlen, "pathlen", NULL },
	{ "CA:FALSE written out", LEAF, explicit_false, NULL, NULL }, /* not DER, but one reading */
	{ "TRUE in BER", LEAF, ber_true, "not DER", NULL },
	{ "constraints twice", LEAF, constraints_twice, "twice", NULL },
	{ "constraints, and more behind them", LEAF, constraints_and_more, "not DER", NULL },
	{ "constraints of another type", LEAF, constraints_junk, "malformed", NULL },
	{ "keyCertSign", LEAF, cert_sign, "keyCertSign", NULL },
	{ "cRLSign", LEAF, crl_sign, "cRLSign", NULL },
	{ "OCSPSigning", LEAF, ocsp, "OCSPSigning", NULL },
	{ "unknown critical extension", LEAF, unknown_critical, "critical and not known", NULL },
	{ "known extension, critical where it may not be", LEAF, constraints_on_policies, "critical", NULL },
	{ "extension that is not DER", LEAF, unknown_not_der, "not DER", NULL },
	{ "serial of 7 octets", LEAF, serial_short, "serial number has 7", NULL },
	{ "serial 0", LEAF, serial_zero, "serial number", NULL },
	{ "serial 1", LEAF, serial_one, "-set_serial", NULL },
	{ "serial negative", LEAF, serial_negative, "negative", NULL },
	{ "serial of 21 octets with its zero", LEAF, serial_20_high, "serial number", NULL },
	{ "serial of 21 octets", LEAF, serial_21, "serial number", NULL },
	{ "91 days", LEAF, days_91, "91 days, the key's profile allows 90; ask for fewer, or change max_days", NULL },
	{ "100 years", LEAF, years_100, "36500 days", NULL },
	{ "notAfter before notBefore", LEAF, reversed, "not later", NULL },
	{ "notAfter is notBefore", LEAF, equal_times, "not later", NULL },
	{ "in the future", LEAF, future, "future", NULL },
	{ "in the past", LEAF, past, "past", NULL },
	{ "expired", LEAF, expired, "expired already", NULL },
	{ "longer than the issuer", LEAF, beyond_issuer, "renew the issuer", NULL },
	{ "four-digit year before 2050", LEAF, four_digit_year, "wrong form", NULL },
	{ "another issuer", LEAF, other_issuer, "issuer named inside", NULL },
	{ "the issuer's own name", LEAF, subject_of_issuer, "issuer's own name", NULL },
	{ "a name that does not fit", LEAF, nothing, "common name \"module-1\"", "edge-*" },
	{ "a second common name", LEAF, second_cn, "common name \"evil\"", "module-*" },
	{ "NUL in the common name", LEAF, nul_in_cn, "NUL", NULL },
	{ "foreign DNS name", LEAF, foreign_dns, "DNS name \"bank.test\"", "module-1*" },
	{ "foreign address", LEAF, foreign_ip, "IP address \"192.168.0.1\"", "module-1" },
	{ "foreign URI", LEAF, foreign_uri, "URI \"urn:other\"", "module-1" },
	{ "directory name, names listed", LEAF, dir_name, "neither DNS", "module-1" },
	{ "directory name, no names listed", LEAF, dir_name, NULL, NULL },
	{ "address of three bytes", LEAF, short_ip, "3 bytes", NULL },
	{ "NUL in a DNS name", LEAF, nul_in_dns, "NUL", NULL },
	{ "RSA-1024", LEAF, key_1024, "1024 bits", NULL },
	{ "P-224", LEAF, key_p224, "curve", NULL },
	{ "own key under another name", LEAF, key_own, "self-signed", NULL },
	{ "own key in another encoding", LEAF, key_own_compressed, "another encoding", NULL },
	{ "self-signed", SELF, nothing, NULL, NULL },
	{ "self-signed, names are for others", SELF, nothing, NULL, "module-1" },
	{ "self-signed, constrained", SELF, constrained, NULL, NULL },
	{ "self-signed, pathlen 1", SELF, self_pathlen_1, "pathlen of at most 0", NULL },
	{ "self-signed, no pathlen", SELF, self_no_pathlen, "pathlen of at most 0", NULL },
	{ "self-signed, constraints not critical", SELF, self_not_critical, "critical,CA:TRUE", NULL },
	{ "self-signed leaf", SELF, self_leaf, "critical,CA:TRUE", NULL },
	{ "self-signed without constraints", SELF, no_constraints, "critical,CA:TRUE", NULL },
	{ "self-signed without keyCertSign", SELF, self_no_cert_sign, "keyCertSign", NULL },
	{ "self-signed without key usage", SELF, no_usage, "keyCertSign", NULL },
	{ "self-signed for 11 years", SELF, self_years_11, "change self_max_days", NULL },
	{ "self-signed to 2050", SELF, self_2050, "allows 3650", NULL },
	{ "self-signed by another name", SELF, other_issuer, "self-signed", NULL },
	{ "self-signed, serial 1", SELF, serial_one, "serial number", NULL },
	{ "self-signed, version 1", SELF, v1, "-extfile", NULL },
};

static void check_row(const struct row *r)
{
	X509 *x = r->kind == SELF ? ca_new_self() : ca_new_leaf();
	struct hf_err e = HF_ERR_INIT;
	struct hf_view tbs;
	hf_Issued out;
	enum hf_rc rc;

	r->change(x);
	tbs = ca_tbs_of(x, ca_keys.own, EVP_sha256());
	rc = ca_check(tbs, r->name, &out, &e);
	if (rc != (r->refusal ? HF_REFUSED : HF_OK))
		fail_msg("%s: result %d, \"%s\"", r->what, rc, e.msg);
	if (r->refusal && !strstr(e.msg, r->refusal))
		fail_msg("%s: \"%s\" does not say \"%s\"", r->what, e.msg, r->refusal);
	if (!rc && out.kind != (r->kind == SELF ? hf_Issued_Kind_SELF : hf_Issued_Kind_CERTIFICATE))
		fail_msg("%s: kind %d", r->what, out.kind);
	ca_release(tbs);
	X509_free(x);
}

static void test_certificates(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++)
		check_row(&rows[i]);
}

static void sub_ca(X509 *x)
{
	ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	ca_set_ext(x, NID_key_usage, "critical,keyCertSign,cRLSign");
}
static void sub_ca_1(X509 *x)
{
	sub_ca(x);
	ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:1");
}
static void sub_ca_endless(X509 *x)
{
	sub_ca(x);
	ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE");
}
static void sub_ca_loose(X509 *x)
{
	sub_ca(x);
	ca_set_ext(x, NID_basic_constraints, "CA:TRUE,pathlen:0");
}
static void sub_ca_no_usage(X509 *x)
{
	sub_ca(x);
	ca_set_ext(x, NID_key_usage, NULL);
}
static void sub_ca_half(X509 *x)
{
	false_pathlen(x);
	ca_set_ext(x, NID_key_usage, "critical,keyCertSign");
}
static void sub_ca_91(X509 *x)
{
	sub_ca(x);
	days_91(x);
}
static void sub_ca_ocsp(X509 *x)
{
	sub_ca(x);
	ocsp(x);
}
static void sub_ca_own_name(X509 *x)
{
	sub_ca(x);
	subject_of_issuer(x);
}

/* CAs below the key: as many levels as its profile says, and with everything that a CA needs. */
static void test_cas_below(void **state)
{
	static const struct {
		const char *what;
		uint32_t levels;
		void (*change)(X509 *);
		const char *refusal; /* NULL: signed */
	} cases[] = {
		{ "not allowed", 0, sub_ca, "would be a CA" },
		{ "one level", 1, sub_ca, NULL },
		{ "one level too many", 1, sub_ca_1, "pathlen of at most 0" },
		{ "two levels", 2, sub_ca_1, NULL },
		{ "no pathlen", 2, sub_ca_endless, "pathlen of at most 1" },
		{ "not critical", 1, sub_ca_loose, "critical,CA:TRUE" },
		{ "no keyUsage", 1, sub_ca_no_usage, "keyCertSign" },
		{ "CA:FALSE with a pathlen", 1, sub_ca_half, "critical,CA:TRUE" },
		{ "too long", 1, sub_ca_91, "91 days" },
		{ "OCSPSigning", 1, sub_ca_ocsp, "OCSPSigning" },
		{ "the issuer's own name", 1, sub_ca_own_name, "issuer's own name" },
		{ "an end entity", 1, nothing, NULL },
		{ "an end entity that signs certificates", 1, cert_sign, "keyCertSign" },
		{ "an end entity that signs CRLs", 1, crl_sign, "cRLSign" },
	};
	hf_CaProfile profile = { .max_days = 90 };
	unsigned char *spki = NULL;
	int n = i2d_PUBKEY(ca_keys.own, &spki);
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(cases); i++) {
		X509 *x = ca_new_leaf();
		struct hf_err e = HF_ERR_INIT;
		struct hf_ca_input in = { .scheme = hf_scheme_find("ecdsa-sha256"),
					  .spki = { spki, (size_t)n }, .profile = &profile, .now = NOW };
		hf_Issued out;
		enum hf_rc rc;

		profile.ca_levels = cases[i].levels;
		in.issuer_subject = ca_issuer_name();
		cases[i].change(x);
		in.data = ca_tbs_of(x, ca_keys.own, EVP_sha256());
		rc = hf_ca_check(&in, &out, &e);
		if (rc != (cases[i].refusal ? HF_REFUSED : HF_OK) ||
		    (rc && !strstr(e.msg, cases[i].refusal)))
			fail_msg("%s: %d, %s", cases[i].what, rc, e.msg);
		ca_release(in.data);
		X509_free(x);
	}
	OPENSSL_free(spki);
}

/* max_days counts from now; the issuer's end is another rule, so it is out of the way here. */
static void test_back_dating_is_free(void **state)
{
	static void (*const changes[])(X509 *) = { days_90, days_90_backdated };
	hf_CaProfile profile = { .max_days = 90 };
	unsigned char *spki = NULL;
	size_t i;
	int n = i2d_PUBKEY(ca_keys.own, &spki);

	(void)state;
	for (i = 0; i < HF_COUNT(changes); i++) {
		X509 *x = ca_new_leaf();
		struct hf_err e = HF_ERR_INIT;
		struct hf_ca_input in = { .scheme = hf_scheme_find("ecdsa-sha256"),
					  .spki = { spki, (size_t)n }, .profile = &profile, .now = NOW };
		hf_Issued out;

		changes[i](x);
		in.data = ca_tbs_of(x, ca_keys.own, EVP_sha256());
		if (hf_ca_check(&in, &out, &e))
			fail_msg("%zu: %s", i, e.msg);
		profile.max_days = 0; /* nothing may be issued */
		assert_int_equal(hf_ca_check(&in, &out, &e), HF_REFUSED);
		profile.max_days = 90;
		ca_release(in.data);
		X509_free(x);
	}
	OPENSSL_free(spki);
}

static void test_issued(void **state)
{
	X509 *x = ca_new_leaf();
	struct hf_view tbs = ca_tbs_of(x, ca_keys.own, EVP_sha256());
	struct hf_err e = HF_ERR_INIT;
	unsigned char *spki = NULL, hash[32];
	hf_Issued out;
	int n = i2d_PUBKEY(ca_keys.other, &spki);

	(void)state;
	assert_int_equal(ca_check(tbs, NULL, &out, &e), HF_OK);
	assert_int_equal(out.serial.size, 16);
	assert_memory_equal(out.serial.bytes, "ABCDEFGHIJKLMNOP", 16);
	assert_string_equal(out.subject, "CN=module-1");
	assert_int_equal(out.not_after, NOW + DAYS(30));
	assert_int_equal(out.subject_der.size, 0);
	assert_true(EVP_Digest(spki, (size_t)n, hash, NULL, EVP_sha256(), NULL));
	assert_memory_equal(out.spki_sha256.bytes, hash, 32);
	OPENSSL_free(spki);
	ca_release(tbs);
	X509_free(x);
	x = ca_new_self();
	tbs = ca_tbs_of(x, ca_keys.own, EVP_sha256());
	assert_int_equal(ca_check(tbs, NULL, &out, &e), HF_OK);
	assert_int_equal(out.subject_der.size, ca_issuer_name().n);
	assert_memory_equal(out.subject_der.bytes, ca_issuer_name().p, ca_issuer_name().n);
	ca_release(tbs);
	X509_free(x);
}

/* Cut anywhere it is refused; with any one bit changed it is never taken for a CA. */
static void test_every_byte(void **state)
{
	X509 *x = ca_new_leaf();
	struct hf_view tbs = ca_tbs_of(x, ca_keys.own, EVP_sha256());
	uint8_t *copy = OPENSSL_memdup(tbs.p, tbs.n);
	struct hf_err e = HF_ERR_INIT;
	hf_Issued out;
	size_t i, passed = 0;

	(void)state;
	for (i = 0; i < tbs.n; i++) {
		uint8_t *cut = OPENSSL_memdup(tbs.p, i ? i : 1);

		assert_int_equal(ca_check((struct hf_view){ cut, i }, NULL, &out, &e), HF_REFUSED);
		OPENSSL_free(cut);
	}
	for (i = 0; i < tbs.n * 8; i++) {
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (!ca_check((struct hf_view){ copy, tbs.n }, NULL, &out, &e)) {
			assert_int_equal(out.kind, hf_Issued_Kind_CERTIFICATE);
			passed++;
		}
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	/* Bits of names and of the serial number may be what they like. */
	assert_true(passed > 0 && passed < tbs.n * 4);
	OPENSSL_free(copy);
	ca_release(tbs);
	X509_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_cas_below),
		cmocka_unit_test(test_back_dating_is_free),
		cmocka_unit_test(test_issued),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests_name("caprofile", tests, ca_set_up, ca_tear_down);
}
