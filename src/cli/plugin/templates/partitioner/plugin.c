/* Which partition a record belongs to: tenants with a partition of their own get it, the others share the rest by their key. */
#include "plugin.h"

static const char MANIFEST[] =
    "{\"name\": \"NAME\", \"version\": \"1.0.0\", \"api\": 1, \"reads\": [\"keys\", \"ordering_keys\"],"
    " \"deterministic\": true,"
    " \"config_schema\": {\"type\": \"object\", \"properties\": {\"own\": {\"type\": \"array\", \"maxItems\": 10,"
    " \"items\": {\"type\": \"string\"}}}, \"additionalProperties\": false}}";

/* What a partitioner says where the client's choice stands. */
static const u32 CLIENT_STANDS = 0xffffffff;

static setting own[10];
static u32 reserved;

EXPORT("lifecycle", "describe") list *describe(void) {
    static list manifest = {MANIFEST, sizeof MANIFEST - 1};
    return &manifest;
}

EXPORT("lifecycle", "init") outcome *init(const char *config, u32 len) {
    char name[] = "own.0";
    for (reserved = 0; reserved < sizeof own / sizeof *own; reserved++) {
        maybe given;
        name[4] = (char)('0' + reserved);
        helpers_json(config, len, name, 5, &given);
        if (!(given.is_some & 0xff)) {
            break;
        }
        if (!set(&own[reserved], config, len, name, 5)) {
            return set_up(0);
        }
    }
    return set_up(1);
}

static int is_same(const setting *tenant, list key) {
    u32 i = 0;
    while (i < key.len && tenant->len == key.len && tenant->at[i] == ((const u8 *)key.at)[i]) {
        i++;
    }
    return i == tenant->len && i == key.len;
}

static u32 choose(list key, u32 partitions) {
    if (key.at == 0 || partitions <= reserved) {
        return CLIENT_STANDS;
    }
    for (u32 i = 0; i < reserved; i++) {
        if (is_same(&own[i], key)) {
            return i;
        }
    }
    return reserved + (helpers_murmur2(key.at, key.len) & 0x7fffffff) % (partitions - reserved);
}

/* result<list<u32>, failure> */
typedef struct {
    u32 is_error;
    list partitions;
    u32 rest;
} choices;

/* One partition a record, from 0. */
EXPORT("partitioner", "partition") choices *partition(u32 batch, u32 partitions) {
    static choices answer;
    static column keys, ordering_keys;
    begin();
    batch_keys(batch, &keys);
    batch_ordering_keys(batch, &ordering_keys);
    batch_drop(batch);
    u32 records = keys.ends.len, *chosen = take(records * sizeof(u32));
    for (u32 i = 0; i < records; i++) {
        list key = get(&ordering_keys, i);
        chosen[i] = choose(key.at ? key : get(&keys, i), partitions);
    }
    answer.partitions = (list){chosen, records};
    return &answer;
}
