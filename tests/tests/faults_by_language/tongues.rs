//! Faults in each language, put into its template. A routing key, a binding's key or an exchange's
//! name with `!` in front asks for one.

pub struct Tongue {
    pub name: &'static str,
    pub source: &'static str,
    /// What stands in the template, and what is put in front of it.
    pub faults: &'static [(&'static str, &'static str)],
    /// What stands there, and what stands there instead, so that `describe` traps. In Rust nothing of
    /// the author's runs in it.
    pub describe: Option<(&'static str, &'static str)>,
}

pub const TONGUES: [Tongue; 7] = [RUST, C, ZIG, ASSEMBLYSCRIPT, JAVASCRIPT, PYTHON, GO];

const RUST: Tongue = Tongue {
    name: "rust",
    source: "src/lib.rs",
    faults: &[
        (
            "        let exact = self.0",
            r#"        SURROUNDED.with_borrow(|around| {
            let (host, state) = around.as_ref().expect("open");
            match key.as_str() {
                "!slow" => {
                    let end = host.now() + 4;
                    while host.now() < end {}
                }
                "!flood" => (0..1000).for_each(|_| host.log(Level::Warn, &"flood ".repeat(200))),
                "!keep" => for _ in 0..20 {
                    let number = KEPT.get() + 1;
                    KEPT.set(number);
                    let _ = state.put(&number.to_be_bytes(), &[0; 60_000], Lifetime::Run);
                },
                _ => {}
            }
        });
        match key.as_str() {
            "!trap" => panic!("trap"),
            "!loop" => loop { std::hint::black_box(()); },
            "!memory" => {
                let mut hoard = Vec::new();
                loop { hoard.push(std::hint::black_box(vec![1u8; 1 << 20])); }
            }
            "!huge" => return Answer::to(0..1 << 22),
            "!deep" => { std::hint::black_box(deep(0)); }
            _ => {}
        }
"#,
        ),
        (
            "        self.0.insert(binding",
            "        assert!(!binding.routing_key.starts_with('!'));\n",
        ),
        (
            "        Ok(Self::default())",
            r#"        assert!(!exchange.name.starts_with('!'));
        SURROUNDED.set(Some((exchange.host.clone(), exchange.state.clone())));
"#,
        ),
        (
            "#[derive(Default)]\nstruct Exact",
            r#"use std::cell::{Cell, RefCell};
use warren_plugin_sdk::{Host, Level, Lifetime, State};
thread_local! {
    static SURROUNDED: RefCell<Option<(Host, State)>> = const { RefCell::new(None) };
    static KEPT: Cell<u32> = const { Cell::new(0) };
}
#[allow(unconditional_recursion)]
fn deep(by: u64) -> u64 {
    std::hint::black_box(deep(std::hint::black_box(by) + 1)) + 1
}
"#,
        ),
    ],
    describe: None,
};

const C: Tongue = Tongue {
    name: "c",
    source: "plugin.c",
    faults: &[
        (
            "  uint32_t *slots = cabi_realloc",
            r#"  if (key.length > 1 && key.at[0] == '!') switch (key.at[1]) {
    case 't': __builtin_trap();
    case 'l': for (volatile int i = 0;; i++) {}
    case 'm': while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {} __builtin_trap();
    case 'h':
      __builtin_wasm_memory_grow(0, 300);
      answer.kind = 0;
      answer.to.slots = (const uint32_t *)65536;
      answer.to.count = 1 << 22;
      call_is_over();
      return &answer;
    case 'd': deep(0); break;
    case 's': for (uint64_t end = host_now() + 4; host_now() < end;) {} break;
    case 'f': for (int i = 0; i < 1000; i++) host_log(1, blank, 1200); break;
    case 'k':
      for (int i = 0; i < 20; i++) {
        static uint32_t kept, result[3];
        kept++;
        state_put(&kept, sizeof kept, blank, sizeof blank, 0, result);
        call_is_over();
      }
  }
"#,
        ),
        (
            "  binding *place = place_for(slot);",
            "  if (length && key[0] == '!') __builtin_trap();\n",
        ),
        (
            "  call_is_over();\n  return &opened;",
            "  if (name_length && name[0] == '!') __builtin_trap();\n",
        ),
        (
            "/* Bindings live as long",
            r#"#define FROM(module, name) __attribute__((import_module(module), import_name(name)))
FROM("warren:exchange/host@0.1.0", "now") uint64_t host_now(void);
FROM("warren:exchange/host@0.1.0", "log") void host_log(uint32_t, const void *, size_t);
FROM("warren:plugin/state@0.1.0", "put")
void state_put(const void *, size_t, const void *, size_t, uint32_t, void *);
static uint8_t blank[60000];
static int deep(int by);
static int (*volatile again)(int) = deep;
static int deep(int by) { return again(by + 1) + 1; }
"#,
        ),
    ],
    describe: Some(("{ return &description; }", "{ __builtin_trap(); }")),
};

const ZIG: Tongue = Tongue {
    name: "zig",
    source: "plugin.zig",
    faults: &[
        (
            "    const place: [*]align(4) u8",
            r#"    if (wanted.len > 1 and wanted[0] == '!') switch (wanted[1]) {
        't' => @trap(),
        'l' => while (true) std.mem.doNotOptimizeAway(wanted.ptr),
        'm' => while (@wasmMemoryGrow(0, 16) >= 0) {},
        'h' => {
            _ = @wasmMemoryGrow(0, 300);
            answer = .{ .kind = .to, .decision = .{ .to = .{ .slots = @ptrFromInt(65536), .count = 1 << 22 } } };
            callIsOver();
            return &answer;
        },
        'd' => std.mem.doNotOptimizeAway(deep(0)),
        's' => {
            const end = now() + 4;
            while (now() < end) {}
        },
        'f' => for (0..1000) |_| log(1, &blank, 1200),
        'k' => for (0..20) |_| {
            var result: [3]u32 = undefined;
            kept += 1;
            put(&kept, 4, &blank, blank.len, 0, &result);
            callIsOver();
        },
        else => {},
    };
"#,
        ),
        (
            "    unbind(slot);\n    const own",
            "    if (key_length > 0 and key[0] == '!') @trap();\n",
        ),
        (
            "    callIsOver();\n    return &opened;",
            "    if (name_length > 0 and name[0] == '!') @trap();\n",
        ),
        (
            "/// What comes from the broker",
            r#"extern "warren:exchange/host@0.1.0" fn now() u64;
extern "warren:exchange/host@0.1.0" fn log(u32, [*]const u8, usize) void;
extern "warren:plugin/state@0.1.0" fn put(*const u32, usize, [*]const u8, usize, u32, *[3]u32) void;
var blank: [60000]u8 = @splat(0);
var kept: u32 = 0;
var again: *const fn (u32) u32 = &deep;
fn deep(by: u32) u32 {
    const next: *volatile *const fn (u32) u32 = &again;
    return next.*(by +% 1) +% 1;
}

"#,
        ),
    ],
    describe: Some(("    return &description;", "    @trap();")),
};

const ASSEMBLYSCRIPT: Tongue = Tongue {
    name: "assemblyscript",
    source: "plugin.ts",
    faults: &[
        (
            "  callIsOver();\n  const all",
            r#"  if (key.startsWith("!t")) unreachable();
  if (key.startsWith("!l")) while (true) {}
  if (key.startsWith("!m")) { while (memory.grow(16) != -1) {} unreachable(); }
  if (key.startsWith("!h")) {
    memory.grow(300);
    memory.fill(returned, 0, 24);
    pair(returned + 8, 65536, 1 << 22);
    callIsOver();
    return returned;
  }
  if (key.startsWith("!d")) kept = deep(0);
  if (key.startsWith("!s")) for (let end = hostNow() + 4; hostNow() < end;) {}
  if (key.startsWith("!f")) for (let i = 0; i < 1000; i++) hostLog(1, blank, 1200);
  if (key.startsWith("!k")) for (let i = 0; i < 20; i++) {
    store<u32>(returned + 16, ++kept);
    statePut(returned + 16, 4, blank, 60000, 0, returned);
  }
"#,
        ),
        (
            "  bindings.set(slot",
            "  if (keyLength > 0 && load<u8>(key) == 33) unreachable();\n",
        ),
        (
            "  callIsOver();\n  memory.fill(returned, 0, 16);",
            "  if (nameLength > 0 && load<u8>(name) == 33) unreachable();\n",
        ),
        (
            "// The broker copies",
            r#"@external("warren:exchange/host@0.1.0", "now") declare function hostNow(): u64;
@external("warren:exchange/host@0.1.0", "log")
declare function hostLog(level: u32, line: usize, length: usize): void;
@external("warren:plugin/state@0.1.0", "put")
declare function statePut(
  key: usize, keyLength: usize, value: usize, length: usize, lifetime: u32, result: usize,
): void;
const blank: usize = heap.alloc(60000);
memory.fill(blank, 0, 60000);
let kept: u32 = 0;
function deep(by: u32): u32 { return deep(by + 1) + by; }
"#,
        ),
    ],
    describe: Some((
        "  return description;",
        "  unreachable();\n  return description;",
    )),
};

const JAVASCRIPT: Tongue = Tongue {
    name: "javascript",
    source: "plugin.js",
    faults: &[
        (
            "    const slots = [];",
            r#"    if (key === "!trap") throw new Error("trap");
    if (key === "!loop") for (;;) {}
    if (key === "!memory") { const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20).fill(1)); }
    if (key === "!huge") return { decision: { tag: "to", val: new Uint32Array(1 << 22) }, setHeaders: [] };
    if (key === "!deep") { const deep = (by) => deep(by + 1) + 1; deep(0); }
    if (key === "!slow") for (const end = now() + 4n; now() < end;) {}
    if (key === "!flood") for (let i = 0; i < 100; i++) log("warn", "flood ".repeat(200));
    if (key === "!keep") for (let i = 0; i < 4; i++) {
      try { put(new Uint8Array([++kept, kept >> 8]), new Uint8Array(60000), "run"); } catch {}
    }
"#,
        ),
        (
            "    bindings.set(slot",
            "    if (routingKey.startsWith(\"!\")) bindings.nothing.at.all;\n",
        ),
        (
            "    return { innerType",
            "    if (exchange.name.startsWith(\"!\")) for (;;) {}\n",
        ),
        (
            "// Bindings live as long",
            r#"import { log, now } from "warren:exchange/host@0.1.0";
import { put } from "warren:plugin/state@0.1.0";
let kept = 0;
"#,
        ),
    ],
    describe: Some((
        "  describe() {",
        "  describe() {\n    throw new Error(\"describe\");",
    )),
};

const PYTHON: Tongue = Tongue {
    name: "python",
    source: "plugin.py",
    faults: &[
        (
            "        slots = [slot for",
            r#"        global kept
        if key == "!trap":
            raise RuntimeError("trap")
        if key == "!loop":
            while True:
                pass
        if key == "!memory":
            hoard = []
            while True:
                hoard.append(b"x" * (1 << 20))
        if key == "!huge":
            return wit.Answer(decision=wit.Decision_To([0] * (1 << 20)), set_headers=[])
        if key == "!deep":
            deep = lambda by: deep(by + 1) + 1
            deep(0)
        if key == "!slow":
            end = host.now() + 4
            while host.now() < end:
                pass
        if key == "!flood":
            for _ in range(100):
                host.log(host.Level.WARN, "flood " * 200)
        if key == "!keep":
            for _ in range(4):
                kept += 1
                try:
                    state.put(kept.to_bytes(4, "big"), bytes(60000), state.Lifetime.RUN)
                except Err:
                    pass
"#,
        ),
        (
            "        bindings[slot] =",
            "        assert not routing_key.startswith(\"!\")\n",
        ),
        (
            "        return wit.Opened",
            "        assert not exchange.name.startswith(\"!\")\n",
        ),
        (
            "# Bindings live as long",
            "from componentize_py_types import Err\nfrom wit_world.imports import host, state\nkept = 0\n",
        ),
    ],
    describe: Some((
        "        return wit.Description(",
        "        raise RuntimeError(\"describe\")\n        return wit.Description(",
    )),
};

const GO: Tongue = Tongue {
    name: "go",
    source: "plugin.go",
    faults: &[
        (
            "\tslots = slots[:0]",
            r#"	switch key.String() {
	case "!trap":
		panic("trap")
	case "!loop":
		for {
		}
	case "!memory":
		for hoard := [][]byte{}; ; {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	case "!huge":
		slots = make([]uint32, 1<<22)
		decided.to = text{at: address(unsafe.SliceData(slots)), length: 1 << 22}
		return &decided
	case "!deep":
		deep(0)
	case "!slow":
		for end := hostNow() + 4; hostNow() < end; {
		}
	case "!flood":
		for range 1000 {
			hostLog(1, &blank[0], 1200)
		}
	case "!keep":
		for range 20 {
			kept++
			statePut(&kept, 4, &blank[0], uint32(len(blank)), 0, &result[0])
		}
	}
"#,
        ),
        (
            "\tbindings[slot] =",
            "\tif keyLength > 0 && *key == '!' {\n\t\tpanic(\"bind\")\n\t}\n",
        ),
        (
            "\treturn &open\n",
            "\tif nameLength > 0 && *name == '!' {\n\t\tpanic(\"open\")\n\t}\n",
        ),
        (
            "// A string as the broker",
            r#"//go:wasmimport warren:exchange/host@0.1.0 now
func hostNow() uint64

//go:wasmimport warren:plugin/state@0.1.0 put
func statePut(key *uint32, keyLength uint32, value *byte, length, lifetime uint32, result *uint32)

var (
	blank  [60000]byte
	result [3]uint32
	kept   uint32
)

func deep(by int) int { return deep(by+1) + 1 }

"#,
        ),
    ],
    describe: Some((
        "*description { return &described }",
        "*description { panic(\"describe\") }",
    )),
};
