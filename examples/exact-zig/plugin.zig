//! Exchange type x-exact: to every binding whose key is exactly the routing key.
//!
//! The functions of wit/exchange.wit by hand, in the form in which WebAssembly components pass
//! values: a string or list is a pointer and a length; what a function returns lies in memory and
//! is returned as a pointer. The broker copies arguments in with `cabi_realloc`.

const std = @import("std");

const Bytes = extern struct {
    at: [*]const u8,
    length: usize,

    fn of(text: []const u8) Bytes {
        return .{ .at = text.ptr, .length = text.len };
    }
};

/// What the broker has. Add those of wit/exchange.wit that you need.
extern "warren:exchange/message@0.1.0" fn @"routing-key"(key: *Bytes) void;

/// What comes from the broker in one call: gone when the call is over.
var scratch: [512 * 1024]u8 align(8) = undefined;
var scratch_used: usize = 0;

fn cabi_realloc(old: ?[*]const u8, old_size: usize, alignment: usize, size: usize) callconv(.c) [*]u8 {
    const at = std.mem.alignForward(usize, scratch_used, alignment);
    if (at + size > scratch.len) @trap();
    scratch_used = at + size;
    const place = scratch[at..][0..size];
    if (old) |bytes| @memcpy(place[0..@min(old_size, size)], bytes[0..@min(old_size, size)]);
    return place.ptr;
}

fn callIsOver() void {
    scratch_used = 0;
}

/// Bindings live as long as the instance. The broker's own table is the truth: this is an index.
const allocator = std.heap.wasm_allocator;
var bindings: std.AutoHashMapUnmanaged(u32, []const u8) = .empty;

const Argument = extern struct { name: Bytes, summary: Bytes };

const Description = extern struct {
    types: [*]const Bytes,
    type_count: usize,
    summary: Bytes,
    arguments: ?[*]const Argument = null,
    argument_count: usize = 0,
    configuration: ?[*]const Argument = null,
    configuration_count: usize = 0,
    whole_message: bool = false,
};

const types = [_]Bytes{Bytes.of("x-exact")};
const description = Description{
    .types = &types,
    .type_count = types.len,
    .summary = Bytes.of("Routes by exactly the key, in Zig"),
};

fn describe() callconv(.c) *const Description {
    return &description;
}

/// result<opened, string>: refused with `text`, or the inner type, if any.
const Opened = extern struct {
    refused: bool = false,
    payload: extern union {
        inner: extern struct { has: bool, name: Bytes },
        text: Bytes,
    },
};

var opened = Opened{ .payload = .{ .inner = .{ .has = false, .name = Bytes.of("") } } };

/// A record of five strings is ten parameters.
fn open(
    vhost: [*]const u8,
    vhost_length: usize,
    name: [*]const u8,
    name_length: usize,
    type_name: [*]const u8,
    type_length: usize,
    arguments: [*]const u8,
    arguments_length: usize,
    configuration: [*]const u8,
    configuration_length: usize,
) callconv(.c) *const Opened {
    _ = .{ vhost, vhost_length, name, name_length, type_name, type_length };
    _ = .{ arguments, arguments_length, configuration, configuration_length };
    callIsOver();
    return &opened;
}

/// result<_, string>
const Bound = extern struct { refused: bool = false, text: Bytes = Bytes.of("") };
var bound = Bound{};

fn bind(
    slot: u32,
    key: [*]const u8,
    key_length: usize,
    arguments: [*]const u8,
    arguments_length: usize,
) callconv(.c) *const Bound {
    _ = .{ arguments, arguments_length };
    unbind(slot);
    const own = allocator.dupe(u8, key[0..key_length]) catch @trap();
    bindings.put(allocator, slot, own) catch @trap();
    callIsOver();
    return &bound;
}

fn unbind(slot: u32) callconv(.c) void {
    if (bindings.fetchRemove(slot)) |old| allocator.free(old.value);
}

const Dependence = extern struct {
    kind: enum(u8) { nothing, routing_key, headers, anything },
    headers: ?[*]const Bytes = null,
    header_count: usize = 0,
};

const dependence = Dependence{ .kind = .routing_key };

fn inputs() callconv(.c) *const Dependence {
    return &dependence;
}

const Answer = extern struct {
    kind: enum(u8) { to, hold, delegate, reject },
    decision: extern union {
        to: extern struct { slots: [*]const u32, count: usize },
        until: u64,
        text: Bytes,
    },
    set_headers: ?*const anyopaque = null,
    set_header_count: usize = 0,
};

var answer: Answer = undefined;

fn route() callconv(.c) *const Answer {
    var key: Bytes = undefined;
    @"routing-key"(&key);
    const wanted = key.at[0..key.length];
    const place: [*]align(4) u8 = @alignCast(cabi_realloc(null, 0, 4, bindings.count() * 4));
    const slots: [*]u32 = @ptrCast(place);
    var count: usize = 0;
    var all = bindings.iterator();
    while (all.next()) |binding| {
        if (std.mem.eql(u8, binding.value_ptr.*, wanted)) {
            slots[count] = binding.key_ptr.*;
            count += 1;
        }
    }
    answer = .{ .kind = .to, .decision = .{ .to = .{ .slots = slots, .count = count } } };
    callIsOver();
    return &answer;
}

comptime {
    const package = "warren:exchange/exchange-type@0.1.0#";
    @export(&describe, .{ .name = package ++ "describe" });
    @export(&open, .{ .name = package ++ "open" });
    @export(&bind, .{ .name = package ++ "bind" });
    @export(&unbind, .{ .name = package ++ "unbind" });
    @export(&inputs, .{ .name = package ++ "inputs" });
    @export(&route, .{ .name = package ++ "route" });
    @export(&route, .{ .name = package ++ "due" });
    @export(&cabi_realloc, .{ .name = "cabi_realloc" });
}
