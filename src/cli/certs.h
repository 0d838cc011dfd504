/* SPDX-License-Identifier: Apache-2.0 */
/* certs.h: credentials as rows of a table, for `cert` and for `status`. */
#ifndef HF_CLI_CERTS_H
#define HF_CLI_CERTS_H

#include <time.h>

#include "cli/inventory.h"
#include "conf/nearest.h"

/* One, or all; @keys: as hf_broker_keys() has them, maybe empty. The caller's. */
json_object *hf_certs_row(const struct hf_inventory *inv, const struct hf_credview *v,
			  json_object *keys, time_t now);
json_object *hf_certs_rows(const struct hf_inventory *inv, json_object *keys);

void hf_certs_table(json_object *list);

/* HF_ARGUMENT, with the nearest id. */
enum hf_rc hf_certs_unknown(const struct hf_inventory *inv, const char *id, struct hf_err *e);

#endif
