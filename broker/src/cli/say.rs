//! Standard output of the commands. Not the broker's log, and not their errors.

use std::fmt::{Arguments, Display};
use std::io::{ErrorKind, Write as _};

/// As a shell sees a program that the signal for a broken pipe has ended: 128 and SIGPIPE.
const NOBODY_READS: i32 = 141;

/// One line.
pub fn say(line: impl Display) {
    write(format_args!("{line}\n"));
}

/// Text that brings its own ends of lines.
pub fn say_text(text: impl Display) {
    write(format_args!("{text}"));
}

/// `warren ... | head` closes the pipe when it has enough: that ends the command, and is no fault of
/// anybody's that would be worth a message.
fn write(text: Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    let written = output.write_fmt(text).and_then(|()| output.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(NOBODY_READS),
        Err(error) => {
            eprintln!("warren: cannot write to standard output: {error}");
            std::process::exit(1)
        }
    }
}
