//! The empty WASI, called from inside an async runtime as the broker's workers do.

use super::fixture::*;
use crate::vhost::exchange_type::{Answer, Routing};

/// The parts of WASI 0.2 that the probe calls.
const WIT: &str = "
package wasi:io@0.2.0 {
    interface error { resource error; }
    interface poll {
        resource pollable;
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}
package wasi:cli@0.2.0 {
    interface stdout {
        use wasi:io/streams@0.2.0.{output-stream};
        get-stdout: func() -> output-stream;
    }
}
package wasi:clocks@0.2.0 {
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}
package wasi:random@0.2.0 {
    interface random { get-random-u64: func() -> u64; }
}";

const WORLD: &str = "
world exchange-plugin {
    import wasi:io/poll@0.2.0;
    import wasi:io/streams@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:clocks/wall-clock@0.2.0;
    import wasi:random/random@0.2.0;";

const IMPORTS: &str = r#"
  (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $close (param i32)))
  (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
  (memory (export "memory")"#;

/// 1: clock, 2: random numbers, 3: print, 4: wait.
const MISDEEDS: &str = "(func $misdeed (param $letter i32)
    (local $count i32) (local $out i32)
    (if (i32.eq (local.get $letter) (i32.const 0x31)) (then (call $wall (i32.const 0x840))))
    (if (i32.eq (local.get $letter) (i32.const 0x32)) (then (drop (call $random))))
    (if (i32.eq (local.get $letter) (i32.const 0x33)) (then
      (local.set $out (call $stdout))
      (call $write (local.get $out) (i32.const 0xc90) (i32.const 5) (i32.const 0x840))
      (if (i32.load8_u (i32.const 0x840)) (then unreachable))
      (call $close (local.get $out))))
    (if (i32.eq (local.get $letter) (i32.const 0x34))
      (then (call $poll (i32.const 0) (i32.const 0) (i32.const 0x840))))";

fn probe_with_wasi() -> Vec<u8> {
    let text = probe_text("probe", 1)
        .replace("(memory (export \"memory\")", IMPORTS)
        .replace(
            "(func $misdeed (param $letter i32)\n    (local $count i32)",
            MISDEEDS,
        );
    let wit = wit("0.1.0").replace("\nworld exchange-plugin {", WORLD) + WIT;
    encode(&text, &wit)
}

fn pure(routing: Routing) -> bool {
    match routing {
        Routing::Now(Answer { pure, .. }) => pure,
        other => panic!("not decided: {other:?}"),
    }
}

#[test]
fn clock_random_and_output_work_on_a_worker_and_waiting_is_a_fault() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("starts");
    let work = async {
        let bench = Bench::new(&[("probe", &probe_with_wasi())]);
        assert_eq!(bench.reports[0].outcome, crate::plugin::Outcome::Loaded);
        let exchange = bench.open("probe", "");
        exchange.bind(1, "a").expect("binds");
        assert!(pure(exchange.route_anyhow("key")));
        assert!(!pure(exchange.route_anyhow("1")), "the clock was read");
        assert!(!pure(exchange.route_anyhow("2")), "randomness was read");
        assert!(pure(exchange.route_anyhow("key")));
        assert_eq!(slots(exchange.route_anyhow("3")), [1]);
        assert_eq!(bench.host.plugins()[0].log_lines, 1);
        let text = fault(exchange.route_anyhow("4"));
        assert!(text.contains("cannot wait"), "{text}");
    };
    // On a worker, not in `block_on`: there the runtime refuses to be blocked.
    let worker = runtime.spawn(work);
    runtime.block_on(worker).expect("no panic");
}
