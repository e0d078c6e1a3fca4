//! Why a call into a plugin failed, told apart for counters and texts. Not what is done about it
//! (see `instance` and `breaker`).

use std::fmt;

use wasmtime::Trap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The code trapped: a panic, an abort, an out-of-bounds access.
    Trap,
    Timeout,
    Memory,
    ResultTooLarge,
    Stack,
    /// It came back, but with something that cannot be used.
    BadAnswer,
}

impl FaultKind {
    pub const ALL: [FaultKind; 6] = [
        FaultKind::Trap,
        FaultKind::Timeout,
        FaultKind::Memory,
        FaultKind::ResultTooLarge,
        FaultKind::Stack,
        FaultKind::BadAnswer,
    ];

    /// As it stands in logs and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Trap => "trap",
            FaultKind::Timeout => "timeout",
            FaultKind::Memory => "memory",
            FaultKind::ResultTooLarge => "result_too_large",
            FaultKind::Stack => "stack",
            FaultKind::BadAnswer => "bad_answer",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct CallFault {
    pub kind: FaultKind,
    pub text: String,
}

impl fmt::Display for CallFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.kind.name(), self.text)
    }
}

/// The limiter's refusal, which the failed call carries out again.
#[derive(Debug)]
pub(super) struct MemoryExceeded {
    pub limit: usize,
}

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "more than the {} bytes it may have", self.limit)
    }
}

impl std::error::Error for MemoryExceeded {}

/// wasmtime's error for it is a private type; its text is all there is to tell it by.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

impl CallFault {
    pub fn bad_answer(text: impl Into<String>) -> CallFault {
        CallFault {
            kind: FaultKind::BadAnswer,
            text: text.into(),
        }
    }

    /// `during` names the call, as in `route`.
    pub fn of(error: &wasmtime::Error, during: &str) -> CallFault {
        let (kind, text) = if let Some(trap) = error.downcast_ref::<Trap>() {
            let kind = match trap {
                Trap::Interrupt => FaultKind::Timeout,
                Trap::StackOverflow => FaultKind::Stack,
                // wasmtime's own enum, and not exhaustive: what is left are the program's faults.
                _ => FaultKind::Trap,
            };
            (kind, trap.to_string())
        } else if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
            (FaultKind::Memory, exceeded.to_string())
        } else {
            let text = error.root_cause().to_string();
            if text.contains(FUEL_EXHAUSTED) {
                let text = "it returned more bytes than it may".to_owned();
                (FaultKind::ResultTooLarge, text)
            } else {
                (FaultKind::Trap, text)
            }
        };
        CallFault {
            kind,
            text: format!("in {during}: {text}"),
        }
    }
}
