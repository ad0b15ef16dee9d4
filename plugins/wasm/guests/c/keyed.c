/* An interceptor in C, without any library: a record must have a key, or it is rejected.
 *
 * It is written against the canonical ABI of the component model by hand, which shows what bindings do elsewhere: a list is a
 * pointer and a length, a function that returns more than a word returns a pointer to it, a variant begins with its case. What
 * the broker hands in is put where cabi_realloc says. Nothing outlives a call, so memory is given back by forgetting it.
 */

typedef unsigned char u8;
typedef unsigned int u32;

typedef struct {
    const void *at;
    u32 len;
} list;

typedef struct {
    list data, ends, valid;
} column;

typedef struct {
    list ends;
    column names, values;
} header_columns;

/* result<answer, failure>, where the answer is `each`, or `keep-all` without what follows it. */
typedef struct {
    u32 is_error, is_each;
    list codes;
    column reasons, values;
    header_columns headers;
} verdicts;

#define TYPES "watershed:plugin/types@1.0.0"
#define IMPORT(name) __attribute__((import_module(TYPES), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("[method]batch.keys") extern void batch_keys(u32 batch, column *keys);
IMPORT("[resource-drop]batch") extern void batch_drop(u32 batch);

extern u8 __heap_base;
static u32 used;

static void *take(u32 bytes) {
    u32 begin = ((u32)&__heap_base + used + 7) & ~7u, end = begin + bytes;
    u32 pages = (end + 0xffff) >> 16, have = __builtin_wasm_memory_size(0);
    if (end < begin || (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (__SIZE_TYPE__)-1)) {
        __builtin_trap();
    }
    used = end - (u32)&__heap_base;
    return (void *)begin;
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, u32 old_bytes, u32 align, u32 bytes) {
    (void)align;
    u8 *new = take(bytes);
    for (u32 i = 0; i < old_bytes && i < bytes; i++) {
        new[i] = ((u8 *)old)[i];
    }
    return new;
}

/* The compiler calls it to clear a struct. */
void *memset(void *at, int byte, __SIZE_TYPE__ bytes) {
    for (__SIZE_TYPE__ i = 0; i < bytes; i++) {
        ((u8 *)at)[i] = (u8)byte;
    }
    return at;
}

static const char MANIFEST[] =
    "{\"name\": \"keyed\", \"version\": \"1.0.0\", \"api\": 1, \"reads\": [\"keys\"]}";

EXPORT("watershed:plugin/lifecycle@1.0.0#describe") list *describe(void) {
    static list manifest = {MANIFEST, sizeof MANIFEST - 1};
    return &manifest;
}

EXPORT("watershed:plugin/lifecycle@1.0.0#init") u32 *init(const char *config, u32 len) {
    static u32 fine[3];
    (void)config, (void)len;
    return fine;
}

static const char REASON[] = "a record of this topic must have a key";

EXPORT("watershed:plugin/interceptor@1.0.0#intercept") verdicts *intercept(u32 batch) {
    static verdicts answer;
    static column keys;
    used = 0;
    batch_keys(batch, &keys);
    batch_drop(batch);
    answer = (verdicts){0};
    u32 records = keys.ends.len, rejected = 0;
    if (keys.valid.len == 0) {
        return &answer; /* nothing is null: keep-all */
    }
    u8 *codes = take(records);
    for (u32 i = 0; i < records; i++) {
        u8 has_key = ((const u8 *)keys.valid.at)[i / 8] >> (i % 8) & 1;
        codes[i] = has_key ? 0 : 2;
        rejected += !has_key;
    }
    const u32 reason_len = sizeof REASON - 1;
    char *reasons = take(rejected * reason_len);
    u32 *ends = take(rejected * sizeof(u32));
    for (u32 i = 0; i < rejected; i++) {
        for (u32 c = 0; c < reason_len; c++) {
            reasons[i * reason_len + c] = REASON[c];
        }
        ends[i] = (i + 1) * reason_len;
    }
    answer.is_each = 1;
    answer.codes = (list){codes, records};
    answer.reasons.data = (list){reasons, rejected * reason_len};
    answer.reasons.ends = (list){ends, rejected};
    return &answer;
}
