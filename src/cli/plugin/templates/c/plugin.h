/* What a plugin in C needs of the canonical ABI of the component model, without any library: a list is a pointer and a length,
 * a result begins with a byte that says whether it is an error, a variant with the number of its case, and a function that
 * returns more than a word returns a pointer to it. What the broker hands in is put where cabi_realloc says.
 *
 * Nothing outlives a call: memory is given back by forgetting it, at the beginning of the next hook (`begin`). Settings are
 * copied into static memory.
 */

typedef unsigned char u8;
typedef unsigned int u32;

typedef struct {
    const void *at;
    u32 len;
} list;

/* All values one behind the other, where each ends, and a bit for each that is not null (none at all: nothing is null). */
typedef struct {
    list data, ends, valid;
} column;

typedef struct {
    list ends;
    column names, values;
} header_columns;

typedef struct {
    list principal, client_id, listener, host;
} client;

/* option<list<u8>> */
typedef struct {
    u32 is_some;
    list value;
} maybe;

#define HOST(interface, name) __attribute__((import_module("watershed:plugin/" interface "@1.0.0"), import_name(name)))
#define EXPORT(interface, name) __attribute__((export_name("watershed:plugin/" interface "@1.0.0#" name)))

HOST("types", "[resource-drop]batch") extern void batch_drop(u32 batch);
HOST("types", "[method]batch.len") extern u32 batch_len(u32 batch);
HOST("types", "[method]batch.keys") extern void batch_keys(u32 batch, column *keys);
HOST("types", "[method]batch.values") extern void batch_values(u32 batch, column *values);
HOST("types", "[method]batch.value-fields") extern void batch_value_fields(u32 batch, const void *path, u32 len, column *fields);
HOST("types", "[method]batch.ordering-keys") extern void batch_ordering_keys(u32 batch, column *keys);
HOST("types", "[method]batch.client") extern void batch_client(u32 batch, client *client);
HOST("helpers", "json") extern void helpers_json(const void *document, u32 len, const void *path, u32 path_len, maybe *value);
HOST("helpers", "murmur2") extern u32 helpers_murmur2(const void *data, u32 len);

extern u8 __heap_base;
static u32 used;

/* Forgets what the last call took. */
static inline void begin(void) { used = 0; }

static void *take(u32 bytes) {
    u32 begin = ((u32)&__heap_base + used + 7) & ~7u, end = begin + bytes;
    u32 pages = (end + 0xffff) >> 16, have = __builtin_wasm_memory_size(0);
    if (end < begin || (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (__SIZE_TYPE__)-1)) {
        __builtin_trap();
    }
    used = end - (u32)&__heap_base;
    return (void *)begin;
}

/* The compiler calls these two for structs. */
void *memset(void *at, int byte, __SIZE_TYPE__ bytes) {
    for (__SIZE_TYPE__ i = 0; i < bytes; i++) {
        ((u8 *)at)[i] = (u8)byte;
    }
    return at;
}

void *memcpy(void *to, const void *from, __SIZE_TYPE__ bytes) {
    for (__SIZE_TYPE__ i = 0; i < bytes; i++) {
        ((u8 *)to)[i] = ((const u8 *)from)[i];
    }
    return to;
}

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_bytes, u32 align, u32 bytes) {
    (void)align;
    void *new = take(bytes);
    return memcpy(new, old, old_bytes < bytes ? old_bytes : bytes);
}

/* Value i of a column; `at` is 0 where it is null. */
static inline list get(const column *from, u32 i) {
    const u32 *ends = from->ends.at;
    u32 begins = i == 0 ? 0 : ends[i - 1];
    if (from->valid.len != 0 && !(((const u8 *)from->valid.at)[i / 8] >> (i % 8) & 1)) {
        return (list){0, 0};
    }
    /* An empty column may have no address; its values are not null for that. */
    return (list){(const u8 *)(from->data.at ? from->data.at : "") + begins, ends[i] - begins};
}

/* A column on its way out, without nulls: room for so many values and bytes. */
typedef struct {
    u8 *data;
    u32 *ends, bytes, len;
} builder;

static inline builder build(u32 values, u32 bytes) {
    return (builder){take(bytes), take(values * sizeof(u32)), 0, 0};
}

static inline void add(builder *to, const void *at, u32 len) {
    memcpy(to->data + to->bytes, at, len);
    to->bytes += len;
}

static inline void end(builder *to) { to->ends[to->len++] = to->bytes; }

static inline column finish(const builder *from) {
    return (column){{from->data, from->bytes}, {from->ends, from->len}, {0, 0}};
}

/* A setting of text, which is kept. */
typedef struct {
    u8 at[256];
    u32 len;
} setting;

/* Takes a setting, where it is given; whether there is room for it. */
static inline int set(setting *to, const char *config, u32 len, const char *name, u32 name_len) {
    maybe given;
    helpers_json(config, len, name, name_len, &given);
    if (!(given.is_some & 0xff)) {
        return 1;
    }
    if (given.value.len > sizeof to->at) {
        return 0;
    }
    memcpy(to->at, given.value.at, given.value.len);
    to->len = given.value.len;
    return 1;
}

/* result<_, string> */
typedef struct {
    u32 is_error;
    list reason;
} outcome;

static inline outcome *set_up(int is_fine) {
    static outcome answer;
    static const char REASON[] = "a setting has more than 256 bytes";
    answer = (outcome){!is_fine, {REASON, sizeof REASON - 1}};
    return &answer;
}
