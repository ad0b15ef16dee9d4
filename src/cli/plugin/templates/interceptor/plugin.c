/* What enters a topic: records whose JSON value lacks a field are refused. */
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

/* result<answer, failure>: the answer `each`, or `keep-all` without what follows it. */
typedef struct {
    u32 is_error, is_each;
    list codes;
    column reasons, values;
    header_columns headers;
} verdicts;

enum { KEEP = 0, REJECT = 2 };

static const char REASON[] = "the value has no field ";

/* One code a record, and a reason for each that is refused. */
EXPORT("interceptor", "intercept") verdicts *intercept(u32 batch) {
    static verdicts answer;
    static column fields;
    begin();
    batch_value_fields(batch, field.at, field.len, &fields);
    batch_drop(batch);
    answer = (verdicts){0};
    u32 records = fields.ends.len, refused = 0;
    u8 *codes = take(records);
    for (u32 i = 0; i < records; i++) {
        codes[i] = get(&fields, i).at ? KEEP : REJECT;
        refused += codes[i] == REJECT;
    }
    if (refused == 0) {
        return &answer;
    }
    builder reasons = build(refused, refused * (sizeof REASON - 1 + field.len));
    for (u32 i = 0; i < refused; i++) {
        add(&reasons, REASON, sizeof REASON - 1);
        add(&reasons, field.at, field.len);
        end(&reasons);
    }
    answer.is_each = 1;
    answer.codes = (list){codes, records};
    answer.reasons = finish(&reasons);
    return &answer;
}
