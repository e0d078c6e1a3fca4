//! The `warren` command: reads the command line, starts what was asked for.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;
use warren::cli::{self, Command};
use warren::server;

/// Messages are allocated on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match cli::parse() {
        Command::Serve(serve) => {
            log();
            match serve.load(std::env::vars()) {
                Ok(config) => {
                    for name in &config.unknown_variables {
                        tracing::warn!(name, "unknown variable in the environment");
                    }
                    let reread = move || serve.load(std::env::vars());
                    server::serve(&config, Box::new(reread))
                }
                Err(error) => Err(error.into()),
            }
        }
        Command::Plugin(command) => warren::plugin_command::run(&command),
        Command::Ctl(options) => warren::ctl::run(&options),
        Command::Completions(shell) => {
            let mut script = Vec::new();
            cli::completions(shell, &mut script);
            cli::say_text(String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Perf(options) => warren::perf::run(&options).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("warren: {error:#}");
        ExitCode::FAILURE
    })
}

/// WARREN_LOG takes the directives of tracing's EnvFilter; `info` without it.
fn log() {
    let filter = EnvFilter::try_from_env("WARREN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
