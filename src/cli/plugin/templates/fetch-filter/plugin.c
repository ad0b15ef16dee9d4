/* What a consumer sees: everybody but the clients of one team gets values without e-mail addresses. What is stored stays. */
#include "plugin.h"

static const char MANIFEST[] =
    "{\"name\": \"NAME\", \"version\": \"1.0.0\", \"api\": 1, \"reads\": [\"values\"],"
    " \"config_schema\": {\"type\": \"object\", \"properties\": {\"trusted\": {\"type\": \"string\"}},"
    " \"additionalProperties\": false}}";

static setting trusted = {"billing-", 8};

EXPORT("lifecycle", "describe") list *describe(void) {
    static list manifest = {MANIFEST, sizeof MANIFEST - 1};
    return &manifest;
}

EXPORT("lifecycle", "init") outcome *init(const char *config, u32 len) {
    return set_up(set(&trusted, config, len, "trusted", 7));
}

static int is_of_host(u8 c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static int is_of_user(u8 c) { return is_of_host(c) || c == '_' || c == '+'; }

static int is_trusted(list id) {
    u32 i = 0;
    while (i < trusted.len && i < id.len && ((const u8 *)id.at)[i] == trusted.at[i]) {
        i++;
    }
    return i == trusted.len;
}

/* Adds a value without its addresses; whether there are any.. */
static int mask(builder *to, list value) {
    const u8 *text = value.at;
    u32 done = 0;
    for (u32 at = 0; at < value.len; at++) {
        u32 from = at, until = at + 1;
        while (from > done && is_of_user(text[from - 1])) {
            from--;
        }
        while (until < value.len && is_of_host(text[until])) {
            until++;
        }
        if (text[at] == '@' && from < at && until > at + 1) {
            add(to, text + done, from - done);
            add(to, "***", 3);
            done = until;
            at = until - 1;
        }
    }
    if (done > 0) {
        add(to, text + done, value.len - done);
        end(to);
    }
    return done > 0;
}

/* result<answer, failure>: the answer `each`, or `show-all` without what follows it. */
typedef struct {
    u32 is_error, is_each;
    list codes;
    column values;
    header_columns headers;
} visibilities;

enum { SHOW = 0, REDACT = 2 };

/* One code a record, and a value for each that is shown with another one. */
EXPORT("fetch-filter", "filter") visibilities *filter(u32 batch) {
    static visibilities answer;
    static column values;
    static client reader;
    begin();
    answer = (visibilities){0};
    batch_client(batch, &reader);
    if (is_trusted(reader.client_id)) {
        batch_drop(batch);
        return &answer;
    }
    batch_values(batch, &values);
    batch_drop(batch);
    u32 records = values.ends.len;
    u8 *codes = take(records);
    /* An address has three bytes at least, and three stand for it. */
    builder masked = build(records, values.data.len);
    for (u32 i = 0; i < records; i++) {
        codes[i] = mask(&masked, get(&values, i)) ? REDACT : SHOW;
    }
    if (masked.len > 0) {
        answer.is_each = 1;
        answer.codes = (list){codes, records};
        answer.values = finish(&masked);
    }
    return &answer;
}
