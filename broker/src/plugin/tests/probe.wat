;; An exchange type for tests, by hand: answers with all its slots, unless the first letter of the
;; routing key asks for one of the misdeeds in `decide`.
(module
  (import "warren:exchange/message@0.1.0" "routing-key" (func $routing_key (param i32)))
  (import "warren:exchange/message@0.1.0" "exchange" (func $exchange (param i32)))
  (import "warren:exchange/message@0.1.0" "header" (func $header (param i32 i32 i32)))
  (import "warren:exchange/message@0.1.0" "headers" (func $headers (param i32)))
  (import "warren:exchange/message@0.1.0" "body-length" (func $body_length (result i64)))
  (import "warren:exchange/message@0.1.0" "body" (func $body (param i64 i32 i32)))
  (import "warren:exchange/host@0.1.0" "now" (func $now (result i64)))
  (import "warren:exchange/host@0.1.0" "log" (func $log (param i32 i32 i32)))

  (memory (export "memory") 4)
  ;; 0x0400 what is returned, 0x0800 what imports return, 0x0c00 texts, 0x1000 a header record,
  ;; 0x10000 slots (at most 16384), 0x20000 heap
  (global $heap (mut i32) (i32.const 0x20000))
  (global $bound (mut i32) (i32.const 0))
  (global $routed (mut i32) (i32.const 0))
  ;; The first byte of the exchange's arguments, or 0.
  (global $mode (mut i32) (i32.const 0))

  (data (i32.const 0x0c00) "TYPE_NAME")
  (data (i32.const 0x0c40) "not this one")
  (data (i32.const 0x0c60) "x-colour")
  (data (i32.const 0x0c70) "inner")
  (data (i32.const 0x0c80) "t\01")
  (data (i32.const 0x0c90) "hello")

  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1)
        (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))))
      unreachable)
    (local.get $at))

  (func $done (result i32)
    (global.set $heap (i32.const 0x20000))
    (i32.const 0x400))

  (func $string (param $at i32) (param $text i32) (param $length i32)
    (i32.store (local.get $at) (local.get $text))
    (i32.store offset=4 (local.get $at) (local.get $length)))

  (func (export "warren:exchange/exchange-type@0.1.0#describe") (result i32)
    (call $string (i32.const 0x440) (i32.const 0xc00) (i32.const TYPE_LENGTH))
    (i32.store (i32.const 0x400) (i32.const 0x440))
    (i32.store (i32.const 0x404) (i32.const 1))
    (call $string (i32.const 0x408) (i32.const 0xc90) (i32.const 5))
    (i64.store (i32.const 0x410) (i64.const 0))
    (i64.store (i32.const 0x418) (i64.const 0))
    (i32.store (i32.const 0x420) (i32.const 0))
    (call $done))

  ;; Mode r refuses, t traps, i names an inner type.
  (func (export "warren:exchange/exchange-type@0.1.0#open")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (if (local.get 7) (then (global.set $mode (i32.load8_u (local.get 6)))))
    (i32.store (i32.const 0x400) (i32.const 0))
    (i32.store (i32.const 0x404) (i32.const 0))
    (if (i32.eq (global.get $mode) (i32.const 0x74)) (then unreachable))
    (if (i32.eq (global.get $mode) (i32.const 0x72)) (then
      (i32.store (i32.const 0x400) (i32.const 1))
      (call $string (i32.const 0x404) (i32.const 0xc40) (i32.const 12))))
    (if (i32.eq (global.get $mode) (i32.const 0x69)) (then
      (i32.store (i32.const 0x404) (i32.const 1))
      (call $string (i32.const 0x408) (i32.const 0xc70) (i32.const 5))))
    (call $done))

  ;; Key r refuses, t traps.
  (func (export "warren:exchange/exchange-type@0.1.0#bind")
    (param $slot i32) (param $key i32) (param $length i32) (param i32 i32) (result i32)
    (local $first i32)
    (if (local.get $length) (then (local.set $first (i32.load8_u (local.get $key)))))
    (if (i32.eq (local.get $first) (i32.const 0x74)) (then unreachable))
    (i32.store (i32.const 0x400) (i32.const 0))
    (if (i32.eq (local.get $first) (i32.const 0x72))
      (then
        (i32.store (i32.const 0x400) (i32.const 1))
        (call $string (i32.const 0x404) (i32.const 0xc40) (i32.const 12)))
      (else
        (i32.store (i32.add (i32.const 0x10000) (i32.mul (global.get $bound) (i32.const 4)))
          (local.get $slot))
        (global.set $bound (i32.add (global.get $bound) (i32.const 1)))))
    (call $done))

  (func (export "warren:exchange/exchange-type@0.1.0#unbind") (param $slot i32)
    (local $at i32)
    (local.set $at (i32.const 0x10000))
    (block $out
      (loop $next
        (br_if $out (i32.ge_u (local.get $at)
          (i32.add (i32.const 0x10000) (i32.mul (global.get $bound) (i32.const 4)))))
        (if (i32.eq (i32.load (local.get $at)) (local.get $slot)) (then
          (global.set $bound (i32.sub (global.get $bound) (i32.const 1)))
          (i32.store (local.get $at)
            (i32.load (i32.add (i32.const 0x10000) (i32.mul (global.get $bound) (i32.const 4)))))
          (br $out)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $next))))

  ;; Mode n: nothing, h: the header x-colour, a: anything; else the routing key.
  (func (export "warren:exchange/exchange-type@0.1.0#inputs") (result i32)
    (i32.store (i32.const 0x400) (i32.const 1))
    (if (i32.eq (global.get $mode) (i32.const 0x6e))
      (then (i32.store (i32.const 0x400) (i32.const 0))))
    (if (i32.eq (global.get $mode) (i32.const 0x61))
      (then (i32.store (i32.const 0x400) (i32.const 3))))
    (if (i32.eq (global.get $mode) (i32.const 0x68)) (then
      (i32.store (i32.const 0x400) (i32.const 2))
      (call $string (i32.const 0x440) (i32.const 0xc60) (i32.const 8))
      (i32.store (i32.const 0x404) (i32.const 0x440))
      (i32.store (i32.const 0x408) (i32.const 1))))
    (call $done))

  (func $overflow (result i32) (i32.add (call $overflow) (i32.const 1)))

  (func $to_all
    (i32.store (i32.const 0x400) (i32.const 0))
    (i32.store (i32.const 0x408) (i32.const 0x10000))
    (i32.store (i32.const 0x40c) (global.get $bound))
    (i32.store (i32.const 0x410) (i32.const 0))
    (i32.store (i32.const 0x414) (i32.const 0)))

  ;; Sets the header x-colour to the value of so many bytes at 0xc80.
  (func $stamp (param $length i32)
    (call $string (i32.const 0x1000) (i32.const 0xc60) (i32.const 8))
    (call $string (i32.const 0x1008) (i32.const 0xc80) (local.get $length))
    (i32.store (i32.const 0x410) (i32.const 0x1000))
    (i32.store (i32.const 0x414) (i32.const 1)))

  (func $misdeed (param $letter i32)
    (local $count i32)
    ;; l: for ever
    (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then (loop $forever (br $forever))))
    ;; t: trap
    (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable))
    ;; o: trap, unless it is the first call of this instance
    (if (i32.eq (local.get $letter) (i32.const 0x6f))
      (then (if (i32.gt_u (global.get $routed) (i32.const 1)) (then unreachable))))
    ;; s: stack
    (if (i32.eq (local.get $letter) (i32.const 0x73)) (then (drop (call $overflow))))
    ;; m: 128 MiB
    (if (i32.eq (local.get $letter) (i32.const 0x6d))
      (then (drop (memory.grow (i32.const 2048)))))
    ;; b: 60000 slots where there are four pages
    (if (i32.eq (local.get $letter) (i32.const 0x62))
      (then (i32.store (i32.const 0x408) (i32.const 0))
            (i32.store (i32.const 0x40c) (i32.const 60000))))
    ;; w: work for a while
    (if (i32.eq (local.get $letter) (i32.const 0x77)) (then
      (loop $again
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $count) (i32.const WORK))))))
    ;; c: clock
    (if (i32.eq (local.get $letter) (i32.const 0x63)) (then (drop (i32.wrap_i64 (call $now)))))
    ;; h: hold until 5000
    (if (i32.eq (local.get $letter) (i32.const 0x68)) (then
      (i32.store (i32.const 0x400) (i32.const 1))
      (i64.store (i32.const 0x408) (i64.const 5000))))
    ;; d: delegate
    (if (i32.eq (local.get $letter) (i32.const 0x64))
      (then (i32.store (i32.const 0x400) (i32.const 2))))
    ;; x: reject
    (if (i32.eq (local.get $letter) (i32.const 0x78)) (then
      (i32.store (i32.const 0x400) (i32.const 3))
      (call $string (i32.const 0x408) (i32.const 0xc40) (i32.const 12))))
    ;; p: set a header; q: set one that is not AMQP
    (if (i32.eq (local.get $letter) (i32.const 0x70)) (then (call $stamp (i32.const 2))))
    (if (i32.eq (local.get $letter) (i32.const 0x71)) (then (call $stamp (i32.const 1))))
    ;; y: read the header x-colour, its bytes are the slots
    (if (i32.eq (local.get $letter) (i32.const 0x79)) (then
      (call $header (i32.const 0xc60) (i32.const 8) (i32.const 0x800))
      (if (i32.load8_u (i32.const 0x800)) (then
        (i32.store (i32.const 0x408) (i32.load (i32.const 0x804)))
        (i32.store (i32.const 0x40c)
          (i32.shr_u (i32.load (i32.const 0x808)) (i32.const 2)))))))
    ;; z: read the body, its bytes are the slots
    (if (i32.eq (local.get $letter) (i32.const 0x7a)) (then
      (call $body (i64.const 0) (i32.wrap_i64 (call $body_length)) (i32.const 0x800))
      (i32.store (i32.const 0x408) (i32.load (i32.const 0x800)))
      (i32.store (i32.const 0x40c) (i32.shr_u (i32.load (i32.const 0x804)) (i32.const 2)))))
    ;; g: 150 lines of log
    (if (i32.eq (local.get $letter) (i32.const 0x67)) (then
      (loop $line
        (call $log (i32.const 2) (i32.const 0xc90) (i32.const 5))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $line (i32.lt_u (local.get $count) (i32.const 150)))))))

  (func $decide (export "warren:exchange/exchange-type@0.1.0#route") (result i32)
    (global.set $routed (i32.add (global.get $routed) (i32.const 1)))
    (call $to_all)
    (if (i32.ne (global.get $mode) (i32.const 0x6e)) (then
      (call $routing_key (i32.const 0x800))
      (if (i32.load (i32.const 0x804))
        (then (call $misdeed (i32.load8_u (i32.load (i32.const 0x800))))))))
    (call $done))

  (func (export "warren:exchange/exchange-type@0.1.0#due") (result i32)
    (call $to_all)
    (call $done))
)
