;; What Go's runtime asks of an operating system (WASI preview 1), for an exchange type in Go, with
;; no system behind it: there are no files, arguments or variables, and nothing can be waited for.
;; Only the time, random numbers and the log come from the broker, through the contract that every
;; exchange type has. WASI itself is kept out: Go's scheduler reads the clock in every call, and then
;; no answer could be remembered. So the monotonic clock here only counts how often it was asked.
;;
;; `go_runtime.wasm` is this file assembled; a test compares them. Names, parameters and the numbers
;; of errors are those of WASI preview 1: 0 is success, 8 no such descriptor, 52 not there at all.
(module
  (import "warren:exchange/host@0.1.0" "now" (func $now (result i64)))
  (import "warren:exchange/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "env" "memory" (memory 0))

  (global $ticks (mut i64) (i64.const 0))
  (global $random (mut i64) (i64.const 0))

  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))

  (func (export "clock_time_get") (param $clock i32) (param i64) (param $time i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then (i64.store (local.get $time) (i64.mul (call $now) (i64.const 1000000))))
      (else
        (global.set $ticks (i64.add (global.get $ticks) (i64.const 1000)))
        (i64.store (local.get $time) (global.get $ticks))))
    (i32.const 0))
  (func (export "clock_res_get") (param i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1000000))
    (i32.const 0))

  ;; Splitmix64, with the time stirred in: the seed of hash tables, and no secret. Having asked for the
  ;; time, a call that draws a number is not remembered.
  (func (export "random_get") (param $at i32) (param $length i32) (result i32)
    (local $end i32) (local $mixed i64)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (global.set $random (i64.add (global.get $random) (call $now)))
    (block $full
      (loop $next
        (br_if $full (i32.ge_u (local.get $at) (local.get $end)))
        (global.set $random (i64.add (global.get $random) (i64.const 0x9e3779b97f4a7c15)))
        (local.set $mixed (global.get $random))
        (local.set $mixed (i64.mul (i64.const 0xbf58476d1ce4e5b9)
          (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 30)))))
        (local.set $mixed (i64.mul (i64.const 0x94d049bb133111eb)
          (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 27)))))
        (i64.store8 (local.get $at)
          (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 31))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; Standard output and error, into the log. The runtime writes the reason of its own end in pieces;
  ;; what is only a space or the end of a line is no line.
  (func (export "fd_write")
    (param $file i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $length i32) (local $sum i32)
    (if (i32.gt_u (local.get $file) (i32.const 2)) (then (return (i32.const 8))))
    (block $all
      (loop $next
        (br_if $all (i32.eqz (local.get $count)))
        (local.set $length (i32.load offset=4 (local.get $pieces)))
        (if (i32.gt_u (local.get $length) (i32.const 2))
          (then (call $log (i32.const 1) (i32.load (local.get $pieces)) (local.get $length))))
        (local.set $sum (i32.add (local.get $sum) (local.get $length)))
        (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  (func (export "proc_exit") (param i32) unreachable)
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "proc_raise") (param i32) (result i32) (i32.const 52))
  (func (export "sched_yield") (result i32) (i32.const 0))

  (func $fd (param i32) (result i32) (i32.const 8))
  (export "fd_close" (func $fd))
  (export "fd_datasync" (func $fd))
  (export "fd_sync" (func $fd))
  (func $fd_to (param i32 i32) (result i32) (i32.const 8))
  (export "fd_fdstat_get" (func $fd_to))
  (export "fd_fdstat_set_flags" (func $fd_to))
  (export "fd_filestat_get" (func $fd_to))
  (export "fd_prestat_get" (func $fd_to))
  (export "fd_renumber" (func $fd_to))
  (export "fd_tell" (func $fd_to))
  (export "sock_shutdown" (func $fd_to))
  (func $fd_three (param i32 i32 i32) (result i32) (i32.const 8))
  (export "fd_prestat_dir_name" (func $fd_three))
  (export "sock_accept" (func $fd_three))
  (export "path_create_directory" (func $fd_three))
  (export "path_remove_directory" (func $fd_three))
  (export "path_unlink_file" (func $fd_three))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func $fd_five (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "path_filestat_get" (func $fd_five))
  (export "path_symlink" (func $fd_five))
  (export "sock_send" (func $fd_five))
  (func $fd_six (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "path_readlink" (func $fd_six))
  (export "path_rename" (func $fd_six))
  (export "sock_recv" (func $fd_six))
  (func $fd_at (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (export "fd_pread" (func $fd_at))
  (export "fd_pwrite" (func $fd_at))
  (export "fd_readdir" (func $fd_at))
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32)
    (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)
    (i32.const 8)))
