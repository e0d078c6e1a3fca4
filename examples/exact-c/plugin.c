/* Exchange type x-exact: to every binding whose key is exactly the routing key.
 *
 * The functions of wit/exchange.wit by hand, in the form in which WebAssembly components pass
 * values: a string or list is a pointer and a length; what a function returns lies in memory and
 * is returned as a pointer. The broker copies arguments in with `cabi_realloc`. */

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) \
  __attribute__((export_name("warren:exchange/exchange-type@0.1.0#" name)))
#define MESSAGE(name) \
  __attribute__((import_module("warren:exchange/message@0.1.0"), import_name(name)))

typedef struct { const uint8_t *at; size_t length; } bytes;
#define TEXT(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}

/* What the broker has. Add those of wit/exchange.wit that you need. */
MESSAGE("routing-key") void message_routing_key(bytes *key);

/* What comes from the broker in one call: gone when the call is over. */
static _Alignas(8) uint8_t scratch[512 * 1024];
static size_t scratch_used;

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  size_t at = (scratch_used + align - 1) & ~(align - 1);
  if (at + size > sizeof scratch) __builtin_trap();
  scratch_used = at + size;
  for (size_t i = 0; i < old_size && i < size; i++) scratch[at + i] = ((uint8_t *)old)[i];
  return scratch + at;
}

static void call_is_over(void) { scratch_used = 0; }

/* Bindings live as long as the instance. The broker's own table is the truth: this is an index. */
typedef struct { uint32_t slot; uint8_t length, bound; uint8_t key[255]; } binding;
extern uint8_t __heap_base;
static binding *bindings;
static size_t count, room;

static binding *place_for(uint32_t slot) {
  binding *empty = NULL;
  for (size_t i = 0; i < count; i++) {
    if (bindings[i].bound && bindings[i].slot == slot) return &bindings[i];
    if (!bindings[i].bound) empty = &bindings[i];
  }
  if (empty) return empty;
  if (!bindings) bindings = (binding *)(((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7);
  if (count == room) {
    size_t end = (uintptr_t)(bindings + count + 1);
    while (__builtin_wasm_memory_size(0) * 65536 < end)
      if (__builtin_wasm_memory_grow(0, 1) == (size_t)-1) __builtin_trap();
    room = (__builtin_wasm_memory_size(0) * 65536 - (uintptr_t)bindings) / sizeof(binding);
  }
  return &bindings[count++];
}

static int same(const binding *bound, bytes key) {
  if (bound->length != key.length) return 0;
  for (size_t i = 0; i < key.length; i++)
    if (bound->key[i] != key.at[i]) return 0;
  return 1;
}

typedef struct { bytes name, summary; } argument;
static const bytes types[] = {TEXT("x-exact")};
static const struct {
  const bytes *types; size_t type_count;
  bytes summary;
  const argument *arguments; size_t argument_count;
  const argument *configuration; size_t configuration_count;
  uint8_t whole_message;
} description = {types, 1, TEXT("Routes by exactly the key, in C"), 0, 0, 0, 0, 0};

EXPORT("describe") const void *describe(void) { return &description; }

/* result<opened, string>, where opened is one option<string> */
static struct { uint8_t refused; union { struct { uint8_t has; bytes name; } inner; bytes text; }; } opened;

/* A record of five strings is ten parameters. */
EXPORT("open")
void *open_exchange(const uint8_t *vhost, size_t vhost_length, const uint8_t *name, size_t name_length,
                const uint8_t *type, size_t type_length, const uint8_t *arguments,
                size_t arguments_length, const uint8_t *configuration, size_t configuration_length) {
  call_is_over();
  return &opened;
}

/* result<_, string> */
static struct { uint8_t refused; bytes text; } bound;

EXPORT("bind")
void *bind(uint32_t slot, const uint8_t *key, size_t length, const uint8_t *arguments,
           size_t arguments_length) {
  binding *place = place_for(slot);
  place->slot = slot;
  place->bound = 1;
  place->length = (uint8_t)length;
  for (size_t i = 0; i < length && i < sizeof place->key; i++) place->key[i] = key[i];
  call_is_over();
  return &bound;
}

EXPORT("unbind") void unbind(uint32_t slot) {
  for (size_t i = 0; i < count; i++)
    if (bindings[i].bound && bindings[i].slot == slot) bindings[i].bound = 0;
}

/* Decisions depend on: 0 nothing, 1 the routing key, 2 headers (their names behind it), 3 anything. */
static struct { uint8_t kind; const bytes *headers; size_t count; } dependence = {1, 0, 0};

EXPORT("inputs") void *inputs(void) { return &dependence; }

/* Decision: 0 to these slots, 1 hold until, 2 delegate, 3 reject with this text. */
static struct {
  uint8_t kind;
  _Alignas(8) union { struct { const uint32_t *slots; size_t count; } to; uint64_t until; bytes text; };
  const void *set_headers; size_t set_header_count;
} answer;

static void *decide(void) {
  bytes key;
  message_routing_key(&key);
  uint32_t *slots = cabi_realloc(0, 0, 4, count * sizeof(uint32_t));
  size_t matches = 0;
  for (size_t i = 0; i < count; i++)
    if (bindings[i].bound && same(&bindings[i], key)) slots[matches++] = bindings[i].slot;
  answer.kind = 0;
  answer.to.slots = slots;
  answer.to.count = matches;
  call_is_over();
  return &answer;
}

EXPORT("route") void *route(void) { return decide(); }
EXPORT("due") void *due(void) { return decide(); }
