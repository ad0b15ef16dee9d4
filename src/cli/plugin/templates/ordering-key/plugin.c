/* What defines the order of a record: a field of its JSON value, in place of its key. */
#include "plugin.h"

static const char MANIFEST[] =
    "{\"name\": \"NAME\", \"version\": \"1.0.0\", \"api\": 1, \"reads\": [\"values\"],"
    " \"config_schema\": {\"type\": \"object\", \"properties\": {\"field\": {\"type\": \"string\"}},"
    " \"additionalProperties\": false}}";

static setting field = {"tenant", 6};

EXPORT("lifecycle", "describe") list *describe(void) {
    static list manifest = {MANIFEST, sizeof MANIFEST - 1};
    return &manifest;
}

EXPORT("lifecycle", "init") outcome *init(const char *config, u32 len) {
    return set_up(set(&field, config, len, "field", 5));
}

/* result<column, failure> */
typedef struct {
    u32 is_error;
    column keys;
} ordering;

/* One ordering key a record; where it is null, the record's key stands. */
EXPORT("ordering-key", "ordering-keys") ordering *ordering_keys(u32 batch) {
    static ordering answer;
    begin();
    answer.is_error = 0;
    batch_value_fields(batch, field.at, field.len, &answer.keys);
    batch_drop(batch);
    return &answer;
}
