/* A record retention in C, without any library: a record goes when the time is over that its header ttl-ms gives it, in
 * milliseconds from its timestamp on. Without that header, or where it holds something else than 1 to 15 digits, it stays.
 *
 * keyed.c explains how it is written.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef long long s64;

typedef struct {
    const void *at;
    u32 len;
} list;

typedef struct {
    list data, ends, valid;
} column;

/* result<answer, failure>, where the answer is `each`, or `keep-all` without what follows it. */
typedef struct {
    u32 is_error, is_each;
    list codes;
} stays;

#define TYPES "watershed:plugin/types@1.0.0"
#define IMPORT(name) __attribute__((import_module(TYPES), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

/* Of several headers of one name. */
enum { FIRST, LAST };

IMPORT("[method]batch.header")
extern void batch_header(u32 batch, const char *name, u32 len, u32 which, column *values);
IMPORT("[method]batch.timestamps") extern void batch_timestamps(u32 batch, list *timestamps);
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

static const char MANIFEST[] = "{\"name\": \"ttl\", \"version\": \"1.0.0\", \"api\": 1, "
                               "\"reads\": [\"timestamps\"], \"headers\": [\"ttl-ms\"]}";

EXPORT("watershed:plugin/lifecycle@1.0.0#describe") list *describe(void) {
    static list manifest = {MANIFEST, sizeof MANIFEST - 1};
    return &manifest;
}

EXPORT("watershed:plugin/lifecycle@1.0.0#init") u32 *init(const char *config, u32 len) {
    static u32 fine[3];
    (void)config, (void)len;
    return fine;
}

static const char TTL[] = "ttl-ms";

/* 1 to 15 digits, or -1. */
static s64 number(const u8 *text, u32 len) {
    s64 number = 0;
    if (len < 1 || len > 15) {
        return -1;
    }
    for (u32 i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

EXPORT("watershed:plugin/record-retention@1.0.0#retain") stays *retain(u32 batch, s64 now) {
    static stays answer;
    static column ttls;
    static list timestamps;
    used = 0;
    batch_header(batch, TTL, sizeof TTL - 1, LAST, &ttls);
    batch_timestamps(batch, &timestamps);
    batch_drop(batch);
    u32 records = timestamps.len, dropped = 0, begin = 0;
    u8 *codes = take(records);
    for (u32 i = 0; i < records; i++) {
        u32 end = ((const u32 *)ttls.ends.at)[i];
        s64 at = ((const s64 *)timestamps.at)[i];
        /* A header that is not there is null, and holds no digit. */
        s64 ttl = number((const u8 *)ttls.data.at + begin, end - begin);
        codes[i] = ttl >= 0 && at >= 0 && at + ttl < now;
        dropped += codes[i];
        begin = end;
    }
    answer.is_error = 0;
    answer.is_each = dropped > 0;
    answer.codes.at = codes;
    answer.codes.len = records;
    return &answer;
}
