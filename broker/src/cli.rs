//! The command line: what was asked for, as data. Nothing is done here but reading the
//! configuration file that it names.

mod say;

use std::io::Write;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, ConfigError, Problem, Sources};
use crate::plugin::compile::EngineKind;
use crate::{ctl, perf};

pub use say::{say, say_text};

/// What the user asked for.
#[derive(Debug)]
pub enum Command {
    Serve(Serve),
    Plugin(Plugin),
    Perf(Box<perf::Command>),
    Ctl(ctl::Options),
    Completions(Shell),
}

#[derive(Parser, Debug)]
#[command(
    name = "warren",
    version,
    about = "An AMQP 0-9-1 message broker whose routing is WebAssembly",
    args_conflicts_with_subcommands = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand, Debug)]
enum Subcommands {
    /// Run the broker (what happens without a command)
    Serve(Serve),
    /// Look at plugins, or build one
    #[command(subcommand)]
    Plugin(Plugin),
    /// Put a broker under load and measure it
    Perf(Box<perf::Command>),
    /// Look after a running broker, with rabbitmqctl's verbs
    Ctl(ctl::Options),
    /// Print what makes a shell complete these commands
    Completions { shell: Shell },
}

#[derive(Args, Clone, Debug, Default)]
pub struct Serve {
    /// Configuration file (TOML)
    #[arg(short, long, env = "WARREN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where messages and definitions are kept
    #[arg(short, long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Where further plugins (*.wasm) are found
    #[arg(short, long, value_name = "DIR")]
    pub plugins_dir: Option<String>,
    /// AMQP address, may be given several times
    #[arg(short, long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// Any setting, over file and environment; may be given several times
    #[arg(short, long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Plugin {
    /// All plugins that a broker with this configuration would have
    List(Serve),
    /// Make a folder with a plugin that works, to start from
    New {
        /// rust, c, zig, assemblyscript, javascript, python or go
        #[arg(long, default_value = "rust")]
        lang: String,
        /// exchange, interceptor or service
        #[arg(long, default_value = "exchange")]
        kind: String,
        /// Of the folder; an exchange type is x-NAME
        name: String,
    },
    /// Build a plugin's folder into a component
    Build(PluginBuild),
    /// Play a table of messages through a component, and compare where they go
    Test {
        /// The component; by default the one built from the current folder
        component: Option<PathBuf>,
        /// By default routes.toml in the current folder
        #[arg(long, default_value = "routes.toml")]
        routes: PathBuf,
    },
    /// What a component's calls cost
    Bench {
        /// The component; by default the one built from the current folder
        component: Option<PathBuf>,
        /// How many bindings the exchange has
        #[arg(long, default_value_t = 100)]
        bindings: usize,
        /// The exchange type; by default the component's first
        #[arg(long = "type", value_name = "TYPE")]
        type_name: Option<String>,
    },
    /// Compile a component from stdin into a broker's cache: what a broker runs for itself
    #[command(hide = true)]
    Compile {
        /// The cache
        folder: PathBuf,
        #[arg(long)]
        engine: EngineKind,
        /// Bytes
        #[arg(long)]
        stack: usize,
    },
    /// What a component is: its kind, version, types and imports
    Inspect {
        /// The component
        file: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
pub struct PluginBuild {
    /// The plugin's folder
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The component to write; by default <name>.wasm in the current folder
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Rebuild all of Warren's own plugins into broker/builtin; DIR is Warren's source
    #[arg(long, conflicts_with = "out")]
    pub builtin: bool,
}

impl Serve {
    /// Reads the file that was named; `variables` is the environment.
    pub fn load(
        &self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let file = match &self.config {
            None => None,
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError::one(Problem {
                        origin: None,
                        key: String::new(),
                        text: format!("cannot read {name}: {error}"),
                    })
                })?;
                Some((name, text))
            }
        };
        Config::load(&Sources {
            file,
            variables: variables.into_iter().collect(),
            set: self.settings(),
        })
    }

    /// The short flags as settings; --set comes last and wins.
    fn settings(&self) -> Vec<String> {
        let short = [
            self.data_dir.as_ref().map(|dir| format!("data_dir={dir}")),
            self.plugins_dir
                .as_ref()
                .map(|dir| format!("plugins_dir={dir}")),
            (!self.listen.is_empty()).then(|| format!("amqp.listen={}", self.listen.join(","))),
        ];
        short
            .into_iter()
            .flatten()
            .chain(self.set.iter().cloned())
            .collect()
    }
}

/// The process's own command line. Prints help, version and mistakes itself, and ends the process.
pub fn parse() -> Command {
    CommandLine::parse().into()
}

/// The script for this shell; it knows ctl's verbs too, which are plain words to the parser.
pub fn completions(shell: Shell, out: &mut dyn Write) {
    let verbs = PossibleValuesParser::new(ctl::verbs());
    let mut command = CommandLine::command().mut_subcommand("ctl", |ctl| {
        ctl.mut_arg("verb", |verb| verb.value_parser(verbs))
    });
    clap_complete::generate(shell, &mut command, "warren", &mut { out });
}

impl From<CommandLine> for Command {
    fn from(line: CommandLine) -> Self {
        match line.command {
            None => Command::Serve(line.serve),
            Some(Subcommands::Serve(serve)) => Command::Serve(serve),
            Some(Subcommands::Plugin(plugin)) => Command::Plugin(plugin),
            Some(Subcommands::Perf(options)) => Command::Perf(options),
            Some(Subcommands::Ctl(options)) => Command::Ctl(options),
            Some(Subcommands::Completions { shell }) => Command::Completions(shell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        CommandLine::try_parse_from(line.split(' '))
            .expect(line)
            .into()
    }

    fn config(line: &str) -> Config {
        match command(line) {
            Command::Serve(serve) => serve.load([]).expect(line),
            Command::Plugin(_) | Command::Perf(_) | Command::Ctl(_) | Command::Completions(_) => {
                panic!("{line}")
            }
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        assert_eq!(config("warren"), Config::default());
        assert_eq!(config("warren serve"), Config::default());
        let flags = "--data-dir /d --plugins-dir /p --listen 0.0.0.0:1 --listen [::]:2";
        for line in [format!("warren {flags}"), format!("warren serve {flags}")] {
            let config = config(&line);
            assert_eq!(config.data_dir, PathBuf::from("/d"));
            assert_eq!(config.plugins_dir, PathBuf::from("/p"));
            assert_eq!(config.amqp.listen, ["0.0.0.0:1", "[::]:2"]);
        }
    }

    #[test]
    fn every_shell_is_told_of_commands_and_verbs() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let line = format!("warren completions {shell}");
            let Command::Completions(shell) = command(&line) else {
                panic!("{line}");
            };
            let mut script = Vec::new();
            completions(shell, &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in ["warren", "perf", "data-dir", "ctl"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
        let mut script = Vec::new();
        completions(Shell::Bash, &mut script);
        let script = String::from_utf8(script).expect("text");
        assert!(script.contains("list_queues") && script.contains("set_permissions"));
    }

    #[test]
    fn set_wins_over_the_short_flags() {
        let config = config("warren -d /a --set data_dir=/b --set amqp.heartbeat=5");
        assert_eq!(config.data_dir, PathBuf::from("/b"));
        assert_eq!(config.amqp.heartbeat, 5);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem() {
        let Command::Serve(serve) = command("warren -c /nowhere/warren.toml") else {
            panic!("not serve");
        };
        let error = serve.load([]).expect_err("no such file").to_string();
        assert!(error.starts_with("cannot read /nowhere/warren.toml: "));
    }

    #[test]
    fn the_plugin_commands_are_told_apart() {
        let line = command("warren plugin inspect a.wasm");
        assert!(matches!(line, Command::Plugin(Plugin::Inspect { .. })));
        let Command::Plugin(Plugin::Build(build)) = command("warren plugin build dir -o x.wasm")
        else {
            panic!("not build");
        };
        assert_eq!(
            (build.dir, build.out),
            ("dir".into(), Some("x.wasm".into()))
        );
        let Command::Plugin(Plugin::List(list)) = command("warren plugin list -p there") else {
            panic!("not list");
        };
        assert_eq!(list.plugins_dir.as_deref(), Some("there"));
    }
}
