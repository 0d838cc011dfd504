/* SPDX-License-Identifier: Apache-2.0 */
/* The schema's rows: holdfast's own sections, and those of IoT Edge's config.toml. */
#include "conf/schema.h"

#define KEY_END                                                                                    \
	{                                                                                          \
		NULL, HF_CONF_ANY, NULL, 0, 0, NULL, NULL                                          \
	}
#define TEXT(name, standard, max, doc)                                                             \
	{                                                                                          \
		name, HF_CONF_TEXT, standard, 0, max, NULL, doc                                    \
	}
#define NUMBER(name, standard, min, max, doc)                                                      \
	{                                                                                          \
		name, HF_CONF_NUMBER, standard, min, max, NULL, doc                                \
	}
#define PLAIN(name, type, standard, doc)                                                           \
	{                                                                                          \
		name, type, standard, 0, 0, NULL, doc                                              \
	}
#define WORDS(name, type, standard, words, doc)                                                    \
	{                                                                                          \
		name, type, standard, 0, 0, words, doc                                             \
	}

/* ---------------------------------------------------------------- holdfast's own */

static const struct hf_conf_key token_keys[] = {
	PLAIN("name", HF_CONF_NAME, HF_CONF_REQUIRED,
	      "Name of the token, as commands and keys call it."),
	WORDS("type", HF_CONF_CHOICE, "tpm2", "tpm2 pkcs11", "Kind of token."),
	TEXT("tcti", "device:/dev/tpmrm0", 511,
	     "How to reach the TPM, in the words of tpm2-tss: device:PATH, swtpm:path=PATH."),
	NUMBER("primary_handle", "0x81000081", 0x81000000, 0x817fffff,
	       "Persistent handle of the primary key below which holdfast's keys are."),
	{ "module", HF_CONF_PATH, NULL, 2, 1023, NULL,
	  "PKCS#11 module. Without it: pkcs11_lib_path of [aziot_keys]." },
	TEXT("uri", NULL, 511,
	     "Which token of the module: RFC 7512, as pkcs11:token=LABEL or pkcs11:slot-id=0. "
	     "Without it: pkcs11_base_slot of [aziot_keys]."),
	{ "pin_file", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "File with the PIN of the PKCS#11 token's user; nobody but holdfastd reads it." },
	PLAIN("pin_credential", HF_CONF_NAME, NULL,
	      "The same, as the name of a credential that systemd passes to holdfastd."),
	NUMBER("workers", "1", 1, 8,
	       "Processes that load the PKCS#11 module, each with a session of its own."),
	{ "environment", HF_CONF_TEXTS, NULL, 0, 8, NULL,
	  "What the PKCS#11 module wants to find in its environment, as NAME=VALUE." },
	WORDS("confine", HF_CONF_CHOICE, NULL, "local device network",
	      "System calls that the PKCS#11 module's process keeps: for files and UNIX sockets "
	      "(local), and for a device, or TCP. Without it: all that some module might need."),
	{ "timeout", HF_CONF_DURATION, NULL, 100, 600000, NULL,
	  "A signature that takes longer means that the token hangs: its keeper is replaced. "
	  "Without it: 1500ms for swtpm: and mssim:, else 10s." },
	PLAIN("default", HF_CONF_BOOLEAN, "false",
	      "The token of new keys that name none. Without it: the first token."),
	KEY_END,
};

static const struct hf_conf_key socket_keys[] = {
	PLAIN("name", HF_CONF_NAME, HF_CONF_REQUIRED, "Name of the socket, for [[principal]]."),
	{ "path", HF_CONF_PATH, HF_CONF_REQUIRED, 2, 103, NULL, "Where the socket is made." },
	TEXT("owner", NULL, 63, "User who owns it. Without it: the user of holdfastd."),
	TEXT("group", NULL, 63, "Group who owns it. Without it: the group of holdfastd."),
	PLAIN("mode", HF_CONF_MODE, "0660", "Who may connect, as for chmod."),
	KEY_END,
};

static const struct hf_conf_key metrics_keys[] = {
	{ "path", HF_CONF_PATH, HF_CONF_REQUIRED, 2, 103, NULL, "Where the socket is made." },
	TEXT("owner", NULL, 63, "User who owns it. Without it: the user of holdfastd."),
	TEXT("group", NULL, 63, "Group who owns it. Without it: the group of holdfastd."),
	PLAIN("mode", HF_CONF_MODE, "0660", "Who may read, as for chmod."),
	KEY_END,
};

static const struct hf_conf_key principal_keys[] = {
	NUMBER("uid", NULL, 0, 4294967293, "User id of the client."),
	TEXT("user", NULL, 63, "User of the client, by name; instead of uid."),
	NUMBER("gid", NULL, 0, 4294967293, "Group id that the client is in."),
	TEXT("group", NULL, 63, "Group that the client is in, by name; instead of gid."),
	PLAIN("socket", HF_CONF_NAME, NULL, "Only for clients of this socket. Without it: of any."),
	{ "keys", HF_CONF_PATTERNS, NULL, 0, 256, NULL,
	  "Keys it is about; * and ? stand for any letters and any letter." },
	WORDS("rights", HF_CONF_CHOICES, "public sign ca decrypt derive",
	      "public sign ca decrypt derive create rotate delete admin",
	      "What the client may do with them."),
	{ "schemes", HF_CONF_TEXTS, NULL, 0, 8, NULL,
	  "Ways to sign, decrypt and derive, as [\"ecdsa-*\"]; may have * and ?. Without it: "
	  "any." },
	NUMBER("rate", NULL, 1, 1000000,
	       "Operations a second, of all clients of one user together. Without it: no limit."),
	{ "certs", HF_CONF_TEXTS, NULL, 0, 64, NULL,
	  "Certificates that the client may ask the certificate agent for and replace, as "
	  "[\"aziot-edged/module/*\"]; needs uid or user." },
	{ "modules", HF_CONF_TEXTS, NULL, 0, 16, NULL,
	  "Modules whose certificates the client may have issued; likewise." },
	KEY_END,
};

static const struct hf_conf_key profile_keys[] = {
	{ "key", HF_CONF_TEXT, HF_CONF_REQUIRED, 1, 63, NULL,
	  "The ca key it is about; may have * and ?. The first profile that matches counts." },
	NUMBER("max_days", "90", 1, 36500,
	       "Longest validity of a certificate that the key issues."),
	NUMBER("self_max_days", "3650", 1, 36500,
	       "Longest validity of the key's own, self-signed certificate."),
	NUMBER("pathlen", "0", 0, 16, "Largest pathLenConstraint of its own certificate."),
	NUMBER("ca_levels", "0", 0, 16,
	       "How many levels of CAs it may issue below itself; 0: certificates of end entities "
	       "only."),
	{ "names", HF_CONF_TEXTS, NULL, 0, 16, NULL,
	  "DNS names and common names that it may issue; may have * and ?. Without it: any." },
	KEY_END,
};

static const struct hf_conf_key limit_keys[] = {
	NUMBER("connections", "512", 1, 65536,
	       "Connections at once. At the limit an idle one is closed for a new one."),
	NUMBER("connections_per_principal", "64", 1, 65536,
	       "Connections at once of one user. At the limit his idle ones are closed for new "
	       "ones; programs connect again when they need to."),
	NUMBER("queue_per_principal", "64", 1, 4096,
	       "Requests of one user that wait; more are answered with busy."),
	NUMBER("queue", "2048", 1, 65536,
	       "Requests of all users that wait. Beyond it who has none waiting may have one; more "
	       "are answered with busy."),
	{ "idle", HF_CONF_DURATION, "0s", 0, 86400000, NULL,
	  "Close connections that were silent for this long. 0s: never." },
	NUMBER("packet", "65536", 4096, 65536, "Bytes of one request."),
	NUMBER("bytes", "8388608", 262144, 8388608,
	       "Bytes of all requests that wait and replies that nobody has read; a quarter of it "
	       "is "
	       "for one user."),
	KEY_END,
};

static const struct hf_conf_key certificates_keys[] = {
	PLAIN("wait_for_ntp", HF_CONF_BOOLEAN, "false",
	      "Issue and renew nothing before the kernel says that the clock is synchronised."),
	PLAIN("system_store", HF_CONF_BOOLEAN, "false",
	      "Put the trust bundle into the operating system's store as well. Where the agent is "
	      "not root: systemctl enable --now holdfast-trust.path."),
	PLAIN("renew_window", HF_CONF_WINDOW, NULL,
	      "The time of the day (local time) when certificates are renewed, unless one would "
	      "expire before. Without it: any."),
	{ "certd_socket", HF_CONF_PATH, NULL, 2, 103, NULL,
	  "Where the agent answers as IoT Edge's certificate daemon does." },
	{ "workload_socket", HF_CONF_PATH, NULL, 2, 103, NULL,
	  "Where the agent answers as IoT Edge's workload API does." },
	KEY_END,
};

#define ALGORITHMS "ec-p256 ec-p384 ec-p521 rsa-2048 rsa-3072 rsa-4096 ed25519"
#define OF_ITS_KEY                                                                                 \
	"Of the key when it is made, and of those that a renewal with rotate_key makes. Without "  \
	"it: ec-p256, then that of the key before."

static const struct hf_conf_key module_keys[] = {
	WORDS("keys", HF_CONF_CHOICE, "csr", "csr token returned",
	      "Where a module's private key is: with the module, which sends a request (csr); in a "
	      "token; or made in memory and handed out once, as IoT Edge does (returned)."),
	NUMBER("days", "30", 1, 3650, "Validity of the certificates of modules."),
	WORDS("algorithm", HF_CONF_CHOICE, "rsa-2048", ALGORITHMS,
	      "Of the keys of modules, where they are not the module's."),
	KEY_END,
};

static const struct hf_conf_key credential_keys[] = {
	PLAIN("id", HF_CONF_NAME, HF_CONF_REQUIRED, "Name of the certificate."),
	WORDS("method", HF_CONF_CHOICE, NULL, "est local_ca self_signed files",
	      "Who issues it. files: nobody, it is there already. Without it: the issuer."),
	PLAIN("issuer", HF_CONF_NAME, NULL,
	      "The certificate, by its id, of the CA on this device that issues it."),
	PLAIN("key", HF_CONF_KEY, NULL,
	      "Its private key. Without it: one of the name of the certificate."),
	PLAIN("token", HF_CONF_NAME, NULL, "Token of the key. Without it: the default token."),
	WORDS("algorithm", HF_CONF_CHOICE, NULL, ALGORITHMS, OF_ITS_KEY),
	TEXT("common_name", NULL, 255, "Its subject, if that is only a common name."),
	TEXT("subject", NULL, 1000,
	     "Its subject, in the order of the certificate, as \"C=DE,O=Example,CN=pump-7\"; or a "
	     "table."),
	{ "sans", HF_CONF_TEXTS, NULL, 255, 32, NULL,
	  "Further names, as [\"DNS:pump-7.example.org\", \"IP:192.0.2.7\"]; also URI: and "
	  "email:." },
	{ "eku", HF_CONF_TEXTS, NULL, 63, 8, NULL,
	  "What it is for: serverAuth, clientAuth... or OIDs. Without it: nothing is said." },
	PLAIN("ca", HF_CONF_BOOLEAN, "false", "Whether it is a CA itself."),
	NUMBER("pathlen", NULL, 0, 16, "Of a CA: how many CAs may be below it. Without it: 0."),
	NUMBER("days", NULL, 1, 36500, "Its validity, where we decide it. Without it: 90."),
	{ "file", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "Where the certificate and its chain are. Without it: ID.pem among the certificates." },
	{ "reference", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "Where the file is that programs take for the private key. Without it: ID.key.pem." },
	TEXT("owner", NULL, 63, "User who owns the files. Without it: the agent's."),
	TEXT("group", NULL, 63, "Group who owns the files. Without it: the agent's."),
	PLAIN("mode", HF_CONF_MODE, "0644", "Who may read the files, as for chmod."),
	KEY_END,
};

static const struct hf_conf_key hook_keys[] = {
	{ "exec", HF_CONF_TEXTS, HF_CONF_REQUIRED, 511, 16, NULL,
	  "Program, by its absolute path, and arguments: run when there is a new certificate." },
	TEXT("user", NULL, 63, "User it runs as. Without it: the agent's."),
	{ "timeout", HF_CONF_DURATION, "60s", 1000, 3600000, NULL, "It is killed after that." },
	KEY_END,
};

/* ---------------------------------------------------------------- IoT Edge's */

static const struct hf_conf_key top_keys[] = {
	TEXT("hostname", NULL, 253, "Name of the device in its network."),
	TEXT("parent_hostname", NULL, 253, "The gateway above, of a nested device."),
	TEXT("local_gateway_hostname", NULL, 253, "The same, as the Identity Service calls it."),
	PLAIN("trust_bundle_cert", HF_CONF_FILE_URI, NULL, "CA certificates that modules trust."),
	PLAIN("manifest_trust_bundle_cert", HF_CONF_FILE_URI, NULL,
	      "CA certificates for signed deployments."),
	WORDS("module_keys", HF_CONF_CHOICE, NULL, "csr token returned",
	      "The same as keys of [module]."),
	PLAIN("imported_master_encryption_key", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("allow_elevated_docker_permissions", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("prefer_module_identity_cache", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("auto_reprovisioning_mode", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("additional_info", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("cloud_timeout_sec", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("cloud_retries", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("aziot_max_requests", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("iotedge_max_requests", HF_CONF_ANY, NULL, "Not for holdfast."),
	KEY_END,
};

static const struct hf_conf_key provisioning_keys[] = {
	WORDS("source", HF_CONF_CHOICE, NULL, "manual dps none",
	      "How the device gets its identity."),
	TEXT("connection_string", NULL, 4096, "Of manual provisioning."),
	TEXT("iothub_hostname", NULL, 253, "Of manual provisioning."),
	TEXT("device_id", NULL, 128, "Of manual provisioning."),
	PLAIN("global_endpoint", HF_CONF_URL, NULL, "Of DPS."),
	TEXT("id_scope", NULL, 64, "Of DPS."),
	PLAIN("payload", HF_CONF_ANY, NULL, "Of DPS."),
	PLAIN("always_reprovision_on_startup", HF_CONF_ANY, NULL, "Of DPS."),
	PLAIN("dynamic_reprovisioning", HF_CONF_ANY, NULL, "Of DPS."),
	KEY_END,
};

static const struct hf_conf_key identity_keys[] = {
	PLAIN("identity_cert", HF_CONF_FILE_URI, NULL,
	      "Certificate of the device: a file, or a table that says how it is issued."),
	PLAIN("identity_pk", HF_CONF_URI, NULL, "Its private key."),
	KEY_END,
};

static const struct hf_conf_key authentication_keys[] = {
	WORDS("method", HF_CONF_CHOICE, NULL, "sas x509", "How the device proves who it is."),
	KEY_END,
};

static const struct hf_conf_key attestation_keys[] = {
	WORDS("method", HF_CONF_CHOICE, NULL, "symmetric_key x509 tpm",
	      "How the device proves who it is."),
	TEXT("registration_id", NULL, 128, "Name of the device in DPS."),
	KEY_END,
};

static const struct hf_conf_key symmetric_keys[] = {
	TEXT("value", NULL, 1024, "The key, base64."),
	PLAIN("uri", HF_CONF_URI, NULL, "Where the key is."),
	KEY_END,
};

static const struct hf_conf_key issued_keys[] = {
	WORDS("method", HF_CONF_CHOICE, NULL, "est local_ca self_signed",
	      "Who issues the certificate."),
	NUMBER("expiry_days", NULL, 1, 36500, "Its validity, where we decide it."),
	TEXT("common_name", NULL, 255, "Its subject, if that is only a common name."),
	WORDS("algorithm", HF_CONF_CHOICE, NULL, ALGORITHMS, OF_ITS_KEY),
	PLAIN("token", HF_CONF_NAME, NULL, "Token of the key. Without it: the default token."),
	KEY_END,
};

static const struct hf_conf_key est_auth_keys[] = {
	TEXT("username", NULL, 255, "For HTTP authentication at the EST server."),
	TEXT("password", NULL, 255, "For HTTP authentication at the EST server."),
	{ "password_file", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "Instead of password: its first line, read when it is needed." },
	{ "token_file", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "A bearer token for the EST server: the first line, read when it is needed." },
	PLAIN("identity_cert", HF_CONF_FILE_URI, NULL, "Certificate for TLS to the EST server."),
	PLAIN("identity_pk", HF_CONF_URI, NULL, "Its private key."),
	PLAIN("bootstrap_identity_cert", HF_CONF_FILE_URI, NULL,
	      "Certificate for the first contact, to get the EST identity with."),
	PLAIN("bootstrap_identity_pk", HF_CONF_URI, NULL, "Its private key."),
	PLAIN("url", HF_CONF_URL, NULL, "The EST server for this certificate."),
	KEY_END,
};

static const struct hf_conf_key edge_ca_keys[] = {
	PLAIN("enabled", HF_CONF_BOOLEAN, NULL,
	      "Whether this device has an Edge CA. Without it: yes, unless there are "
	      "[[credential]] "
	      "and nothing of IoT Edge."),
	PLAIN("cert", HF_CONF_FILE_URI, NULL, "An Edge CA certificate that exists already."),
	PLAIN("pk", HF_CONF_URI, NULL, "Its private key."),
	NUMBER("auto_generated_edge_ca_expiry_days", NULL, 1, 36500,
	       "Validity of the quickstart Edge CA."),
	WORDS("method", HF_CONF_CHOICE, NULL, "est local_ca self_signed",
	      "Who issues the certificate."),
	NUMBER("expiry_days", NULL, 1, 36500, "Its validity, where we decide it."),
	TEXT("common_name", NULL, 255, "Its subject, if that is only a common name."),
	WORDS("algorithm", HF_CONF_CHOICE, NULL, ALGORITHMS, OF_ITS_KEY),
	PLAIN("token", HF_CONF_NAME, NULL, "Token of the key. Without it: the default token."),
	KEY_END,
};

static const struct hf_conf_key renew_keys[] = {
	PLAIN("enabled", HF_CONF_BOOLEAN, NULL, "Whether to renew at all."),
	PLAIN("rotate_key", HF_CONF_BOOLEAN, NULL, "Whether to make a new key as well."),
	PLAIN("threshold", HF_CONF_RENEWAL, NULL,
	      "When: share of the lifetime, or time before its end."),
	PLAIN("retry", HF_CONF_RENEWAL, NULL, "How long after a failure: likewise."),
	PLAIN("window", HF_CONF_WINDOW, NULL,
	      "The time of the day when it is renewed. Without it: renew_window of "
	      "[certificates]."),
	KEY_END,
};

static const struct hf_conf_key subject_keys[] = {
	TEXT("*", NULL, 255, "An attribute of the subject, by its short name (CN, O, L, ST...)."),
	KEY_END,
};

static const struct hf_conf_key est_keys[] = {
	{ "trusted_certs", HF_CONF_FILE_URIS, NULL, 0, 16, NULL,
	  "CA certificates that EST servers are checked with. Without it: those of the "
	  "operating system." },
	{ "fingerprint", HF_CONF_TEXT, NULL, 64, 64, NULL,
	  "Instead of trusted_certs: SHA-256 of the CA certificate, in hex." },
	WORDS("client_chain", HF_CONF_CHOICE, "full", "full leaf",
	      "What of the certificate and its chain is sent to EST servers."),
	WORDS("binding", HF_CONF_CHOICE, "auto", "auto tls-unique tls-exporter none",
	      "Tie requests to their TLS connection: when the server asks for it, always, never."),
	WORDS("csrattrs", HF_CONF_CHOICE, "auto", "auto ignore",
	      "Whether EST servers are asked what they wish to see in a request."),
	WORDS("tolerate", HF_CONF_CHOICES, NULL, "subject san eku",
	      "In what a certificate may differ from what was asked for. Without it: in nothing."),
	PLAIN("follow_redirects", HF_CONF_BOOLEAN, "false",
	      "Whether a request is sent again where its EST server says. To another server it "
	      "never is."),
	{ "proxy", HF_CONF_URL, NULL, 0, 255, NULL,
	  "HTTP proxy to EST servers. Without it: none." },
	KEY_END,
};

static const struct hf_conf_key own_est_keys[] = {
	PLAIN("identity", HF_CONF_NAME, NULL,
	      "The certificate, by its id, that proves to the EST server who we are."),
	PLAIN("bootstrap", HF_CONF_NAME, NULL, "The one to begin with, while that is not there."),
	{ "trusted_certs", HF_CONF_FILE_URIS, NULL, 0, 16, NULL,
	  "As in [cert_issuance.est], like those that follow." },
	{ "fingerprint", HF_CONF_TEXT, NULL, 64, 64, NULL, "Likewise." },
	WORDS("client_chain", HF_CONF_CHOICE, NULL, "full leaf", "Likewise."),
	WORDS("binding", HF_CONF_CHOICE, NULL, "auto tls-unique tls-exporter none", "Likewise."),
	WORDS("csrattrs", HF_CONF_CHOICE, NULL, "auto ignore", "Likewise."),
	WORDS("tolerate", HF_CONF_CHOICES, NULL, "subject san eku", "Likewise."),
	PLAIN("follow_redirects", HF_CONF_BOOLEAN, NULL, "Likewise."),
	{ "proxy", HF_CONF_URL, NULL, 0, 255, NULL, "Likewise." },
	{ "cacerts_file", HF_CONF_PATH, NULL, 2, 1000, NULL,
	  "A file for other programs, with the CA certificates of the EST server to trust." },
	KEY_END,
};

static const struct hf_conf_key url_keys[] = {
	PLAIN("*", HF_CONF_URL, NULL, "EST server of a certificate, by its id; or default."),
	KEY_END,
};

static const struct hf_conf_key local_ca_keys[] = {
	PLAIN("cert", HF_CONF_FILE_URI, NULL,
	      "Certificate of the local CA: a file, or a table that says how it is issued."),
	PLAIN("pk", HF_CONF_URI, NULL, "Its private key."),
	KEY_END,
};

static const struct hf_conf_key preloaded_key_keys[] = {
	PLAIN("*", HF_CONF_URI, NULL, "Where the key of that id is."),
	KEY_END,
};

static const struct hf_conf_key preloaded_cert_keys[] = {
	PLAIN("*", HF_CONF_BUNDLE, NULL,
	      "Where the certificate of that id is, or the ids it consists of."),
	KEY_END,
};

static const struct hf_conf_key aziot_keys_keys[] = {
	TEXT("homedir_path", NULL, 1023, "Where the original kept its keys."),
	{ "pkcs11_lib_path", HF_CONF_PATH, NULL, 2, 1023, NULL,
	  "PKCS#11 module: makes a token \"hsm\" of type pkcs11, unless a [[token]] without "
	  "module is that." },
	TEXT("pkcs11_base_slot", NULL, 511,
	     "Its token, as an RFC 7512 URI; new keys are made there, unless another [[token]] "
	     "is the default. A pin-value in it is moved to a file."),
	KEY_END,
};

static const struct hf_conf_key moby_keys[] = {
	PLAIN("uri", HF_CONF_ANY, NULL, "Not for holdfast."),
	PLAIN("network", HF_CONF_ANY, NULL, "Not for holdfast."),
	KEY_END,
};

static const struct hf_conf_key no_keys[] = { KEY_END };

/* The table below [provisioning…identity_cert] and its like: how a certificate is issued. */
#define ISSUED(path, doc)                                                                          \
	{ path, HF_CONF_TABLE, HF_CONF_AGENT, { issued_keys, est_auth_keys }, doc },               \
		{ path ".subject",                                                                 \
		  HF_CONF_TABLE,                                                                   \
		  HF_CONF_AGENT,                                                                   \
		  { subject_keys, NULL },                                                          \
		  "Its subject." },                                                                \
		{ path ".hook",                                                                    \
		  HF_CONF_TABLE,                                                                   \
		  HF_CONF_AGENT,                                                                   \
		  { hook_keys, NULL },                                                             \
		  "What is run when it is new." },                                                 \
	{                                                                                          \
		path ".auto_renew", HF_CONF_TABLE, HF_CONF_AGENT, { renew_keys, NULL },            \
			"Its renewal."                                                             \
	}
#define AGENT(path, keys, doc)                                                                     \
	{                                                                                          \
		path, HF_CONF_TABLE, HF_CONF_AGENT, { keys, NULL }, doc                            \
	}
#define OTHERS(path)                                                                               \
	{                                                                                          \
		path, HF_CONF_TABLE, HF_CONF_OTHERS, { no_keys, NULL }, "Not for holdfast."        \
	}

const struct hf_conf_section hf_conf_sections[] = {
	{ "token",
	  HF_CONF_TABLES,
	  HF_CONF_OURS,
	  { token_keys, NULL },
	  "A token that holds keys. Without any: a TPM called tpm, with the defaults." },
	{ "socket",
	  HF_CONF_TABLES,
	  HF_CONF_OURS,
	  { socket_keys, NULL },
	  "A socket that holdfastd listens on. Without any: one called main, at its usual path, "
	  "for "
	  "the group of the key daemon." },
	{ "principal",
	  HF_CONF_TABLES,
	  HF_CONF_OURS,
	  { principal_keys, NULL },
	  "Who may do what with which keys; what no table allows is denied. Root has every right "
	  "on "
	  "the socket main." },
	{ "ca_profile",
	  HF_CONF_TABLES,
	  HF_CONF_OURS,
	  { profile_keys, NULL },
	  "What a key with the usage ca may issue. Keys without a profile get one of defaults." },
	{ "limits", HF_CONF_TABLE, HF_CONF_OURS, { limit_keys, NULL }, "Bounds for clients." },
	{ "metrics",
	  HF_CONF_TABLE,
	  HF_CONF_OURS,
	  { metrics_keys, NULL },
	  "A UNIX socket where holdfastd tells its numbers, in the text format of Prometheus. "
	  "Without "
	  "it: none." },

	{ "", HF_CONF_TABLE, HF_CONF_AGENT, { top_keys, NULL }, "The top of the file." },
	AGENT("provisioning", provisioning_keys, "How the device gets its identity."),
	{ "provisioning.authentication",
	  HF_CONF_TABLE,
	  HF_CONF_AGENT,
	  { authentication_keys, identity_keys },
	  "Manual provisioning." },
	AGENT("provisioning.authentication.device_id_pk", symmetric_keys, "Its symmetric key."),
	ISSUED("provisioning.authentication.identity_cert", "The identity certificate, if issued."),
	{ "provisioning.attestation",
	  HF_CONF_TABLE,
	  HF_CONF_AGENT,
	  { attestation_keys, identity_keys },
	  "Provisioning by DPS." },
	AGENT("provisioning.attestation.symmetric_key", symmetric_keys, "Its symmetric key."),
	ISSUED("provisioning.attestation.identity_cert", "The identity certificate, if issued."),
	AGENT("cert_issuance", no_keys, "Who issues certificates."),
	AGENT("cert_issuance.est", est_keys, "EST servers."),
	AGENT("cert_issuance.est.auth", est_auth_keys, "How we prove to EST servers who we are."),
	AGENT("cert_issuance.est.identity_auto_renew", renew_keys, "Renewal of EST identities."),
	AGENT("cert_issuance.est.urls", url_keys, "Which EST server issues what."),
	AGENT("cert_issuance.local_ca", local_ca_keys, "A CA on this device."),
	ISSUED("cert_issuance.local_ca.cert", "Its certificate, if issued."),
	{ "edge_ca",
	  HF_CONF_TABLE,
	  HF_CONF_AGENT,
	  { edge_ca_keys, est_auth_keys },
	  "The Edge CA: of files, issued by EST or the local CA, or quickstart." },
	AGENT("edge_ca.subject", subject_keys, "Its subject."),
	AGENT("edge_ca.auto_renew", renew_keys, "Its renewal."),
	AGENT("edge_ca.hook", hook_keys, "What is run when it is new."),
	AGENT("preloaded_keys", preloaded_key_keys, "Keys that exist already, by id."),
	AGENT("preloaded_certs", preloaded_cert_keys, "Certificates that exist already, by id."),
	{ "aziot_keys",
	  HF_CONF_TABLE,
	  HF_CONF_OURS,
	  { aziot_keys_keys, NULL },
	  "IoT Edge's words for a PKCS#11 token." },
	{ "moby_runtime",
	  HF_CONF_TABLE,
	  HF_CONF_MIXED,
	  { moby_keys, NULL },
	  "The container runtime." },
	AGENT("moby_runtime.content_trust", no_keys, "Signed images."),
	AGENT("moby_runtime.content_trust.ca_certs", preloaded_cert_keys,
	      "CA certificates by registry."),
	{ "credential",
	  HF_CONF_TABLES,
	  HF_CONF_AGENT,
	  { credential_keys, NULL },
	  "A certificate of any other kind, that the agent gets and renews." },
	AGENT("credential.subject", subject_keys, "Its subject."),
	AGENT("credential.renew", renew_keys, "Its renewal."),
	AGENT("credential.hook", hook_keys, "What is run when it is new."),
	{ "credential.est",
	  HF_CONF_TABLE,
	  HF_CONF_AGENT,
	  { own_est_keys, est_auth_keys },
	  "How it is got from an EST server, where [cert_issuance.est] is not right for it." },
	AGENT("module", module_keys, "Certificates of modules, which the Edge CA issues."),
	AGENT("certificates", certificates_keys, "What is about all certificates."),
	OTHERS("agent"),
	OTHERS("connect"),
	OTHERS("listen"),
	OTHERS("watchdog"),
	OTHERS("image_garbage_collection"),
	OTHERS("tpm"),
	OTHERS("localid"),
	{ NULL, HF_CONF_TABLE, HF_CONF_OTHERS, { NULL, NULL }, NULL },
};
