// Exchange type x-exact: to every binding whose key is exactly the routing key.
//
// The functions of wit/exchange.wit by hand, in the form in which WebAssembly components pass
// values: a string or list is a pointer and a length, in UTF-8; what a function returns lies in
// memory and is returned as a pointer. `warren plugin build` gives the exports their full names.

// What the broker has. Add those of wit/exchange.wit that you need.
@external("warren:exchange/message@0.1.0", "routing-key")
declare function messageRoutingKey(key: usize): void;

// The broker copies arguments in with this; they are freed when the call is over.
const arguments_: usize[] = [];

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const at = heap.alloc(size);
  if (old) memory.copy(at, old, min(oldSize, size));
  arguments_.push(at);
  return at;
}

function callIsOver(): void {
  while (arguments_.length > 0) heap.free(arguments_.pop());
}

// Somewhere for what is returned: written anew by each call.
const returned: usize = heap.alloc(64);
const second: usize = heap.alloc(64);
let slots: usize = 0;

function pair(at: usize, pointer: usize, length: usize): void {
  store<u32>(at, <u32>pointer);
  store<u32>(at + 4, <u32>length);
}

function text(at: usize, value: string): void {
  const length = String.UTF8.byteLength(value);
  const bytes = heap.alloc(length);
  String.UTF8.encodeUnsafe(changetype<usize>(value), value.length, bytes);
  pair(at, bytes, length);
}

// Bindings live as long as the instance. The broker's own table is the truth: this is an index.
const bindings = new Map<u32, string>();

const description: usize = heap.alloc(36);
text(second, "x-exact");
pair(description, second, 1);
text(description + 8, "Routes by exactly the key, in AssemblyScript");
pair(description + 16, 0, 0); // arguments
pair(description + 24, 0, 0); // configuration keys
store<u8>(description + 32, 0); // whole message

export function describe(): usize {
  return description;
}

// A record of five strings is ten parameters.
export function open(
  vhost: usize, vhostLength: usize,
  name: usize, nameLength: usize,
  typeName: usize, typeLength: usize,
  args: usize, argsLength: usize,
  configuration: usize, configurationLength: usize,
): usize {
  callIsOver();
  memory.fill(returned, 0, 16); // ok, without an inner type
  return returned;
}

export function bind(
  slot: u32, key: usize, keyLength: usize, args: usize, argsLength: usize,
): usize {
  bindings.set(slot, String.UTF8.decodeUnsafe(key, keyLength));
  callIsOver();
  memory.fill(returned, 0, 12); // ok
  return returned;
}

export function unbind(slot: u32): void {
  bindings.delete(slot);
}

// 0 nothing, 1 the routing key, 2 headers (their names behind it), 3 anything
export function inputs(): usize {
  memory.fill(returned, 0, 12);
  store<u8>(returned, 1);
  return returned;
}

// Decision: 0 to these slots, 1 hold until, 2 delegate, 3 reject with this text
export function route(): usize {
  messageRoutingKey(returned);
  const key = String.UTF8.decodeUnsafe(load<u32>(returned), load<u32>(returned + 4));
  callIsOver();
  const all = bindings.keys();
  if (slots) heap.free(slots);
  slots = heap.alloc(4 * all.length + 4);
  let count = 0;
  for (let i = 0; i < all.length; i++) {
    if (bindings.get(all[i]) == key) store<u32>(slots + 4 * count++, all[i]);
  }
  memory.fill(returned, 0, 24);
  pair(returned + 8, slots, count);
  return returned;
}

export function due(): usize {
  return route();
}
