//! `warren plugin list | new | build | inspect | test | bench`: for authors and operators; no broker
//! serves here.

mod bench;
mod create;
mod routes;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Plugin, PluginBuild, Serve, say, say_text};
use crate::plugin::build::{Built, build_builtin};
use crate::plugin::compile::compile_into;
use crate::plugin::{self, LoadReport, Outcome, inspect, no_relief};
use crate::server;

pub fn run(command: &Plugin) -> anyhow::Result<ExitCode> {
    match command {
        Plugin::List(serve) => list(serve),
        Plugin::New { lang, kind, name } => create::create(lang, kind, name),
        Plugin::Build(build) => build_components(build),
        Plugin::Inspect { file } => inspect(file),
        Plugin::Compile {
            folder,
            engine,
            stack,
        } => compile_into(folder, *engine, *stack, std::io::stdin()),
        Plugin::Test { component, routes } => routes::test(&built(component)?, routes),
        Plugin::Bench {
            component,
            bindings,
            type_name,
        } => bench::bench(&built(component)?, *bindings, type_name.as_deref()),
    }
}

fn list(serve: &Serve) -> anyhow::Result<ExitCode> {
    let config = serve.load(std::env::vars())?;
    let (_, reports) = server::load_plugins(&config, no_relief());
    reports.iter().for_each(print_report);
    Ok(ExitCode::SUCCESS)
}

fn build_components(build: &PluginBuild) -> anyhow::Result<ExitCode> {
    let built: Vec<Built> = if build.builtin {
        let workspace = &build.dir;
        build_builtin(workspace, &workspace.join("broker/builtin"))?
    } else {
        let out = match &build.out {
            Some(out) => out.clone(),
            None => component_of(&build.dir)?,
        };
        vec![plugin::build::build(&build.dir, &out)?]
    };
    for Built {
        name, path, bytes, ..
    } in built
    {
        say(format_args!(
            "{name}: {} bytes in {}",
            bytes,
            path.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a plugin's folder is built to when nothing else is said: the current folder.
fn component_of(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("no folder {}", dir.display()))?;
    let name = dir.file_name().context("the plugin's folder has no name")?;
    Ok(Path::new(name).with_extension("wasm"))
}

fn built(component: &Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match component {
        Some(component) => Ok(component.clone()),
        None => component_of(Path::new(".")),
    }
}

/// Where what these commands compile is kept for the next time: some tool chains make components that
/// take half a minute.
fn compiled() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".cache/warren/plugins"))
}

fn inspect(file: &Path) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let inspected = inspect::inspect(&name, &bytes, compiled().as_deref());
    say(format_args!("{name}: {} bytes", bytes.len()));
    say_text(&inspected);
    Ok(match inspected.refused {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

fn print_report(report: &LoadReport) {
    let outcome = match &report.outcome {
        Outcome::Loaded => "loaded".to_owned(),
        Outcome::Idle => "loaded when needed".to_owned(),
        Outcome::Disabled => "disabled".to_owned(),
        Outcome::Refused(reason) => format!("refused: {reason}"),
    };
    let version = report.version.as_deref().unwrap_or("-");
    let asked = report.asked.iter().map(|asked| match asked.granted {
        true => format!("\tasks for {}: granted", asked.import),
        false => format!("\tasks for {}: not granted", asked.import),
    });
    let asked: String = asked.collect();
    say(format_args!(
        "{}\t{version}\t{}\t{outcome}{asked}",
        report.name,
        match (report.types.is_empty(), report.kind) {
            (false, _) | (true, None) => report.types.join(","),
            (true, Some(kind)) => kind.name().to_owned(),
        }
    ));
}
