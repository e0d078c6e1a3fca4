//! `warren plugin list | build | inspect`: for authors and operators; no broker runs here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Plugin, PluginBuild, Serve};
use crate::plugin::build::{Built, build_as, build_builtin};
use crate::plugin::{Limits, LoadReport, Outcome, PluginHost, PluginOptions};
use crate::server;

pub fn run(command: &Plugin) -> anyhow::Result<ExitCode> {
    match command {
        Plugin::List(serve) => list(serve),
        Plugin::Build(build) => build_components(build),
        Plugin::Inspect { file } => inspect(file),
    }
}

fn list(serve: &Serve) -> anyhow::Result<ExitCode> {
    let config = serve.load(std::env::vars())?;
    let (_, reports) = server::load_plugins(&config);
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
            None => {
                let dir = build.dir.canonicalize()?;
                let name = dir.file_name().context("the crate's folder has no name")?;
                Path::new(name).with_extension("wasm")
            }
        };
        vec![build_as(&build.dir, &out)?]
    };
    for Built {
        name, path, bytes, ..
    } in built
    {
        println!("{name}: {} bytes in {}", bytes, path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(file: &Path) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let cache = std::env::temp_dir().join(format!("warren-inspect-{}", std::process::id()));
    let (plugins, defaults) = (BTreeMap::new(), Limits::default());
    let options = PluginOptions {
        cache_dir: cache.clone(),
        plugins,
        defaults,
    };
    let clock = std::sync::Arc::new(crate::clock::SystemClock);
    let (_, reports) = PluginHost::load(options, &[(&name, &bytes)], None, clock);
    let _ = std::fs::remove_dir_all(cache);
    reports.iter().for_each(print_report);
    let loads = reports
        .iter()
        .all(|report| report.outcome == Outcome::Loaded);
    Ok(if loads {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_report(report: &LoadReport) {
    let outcome = match &report.outcome {
        Outcome::Loaded => "loaded".to_owned(),
        Outcome::Disabled => "disabled".to_owned(),
        Outcome::Refused(reason) => format!("refused: {reason}"),
    };
    let version = report.version.as_deref().unwrap_or("-");
    println!(
        "{}\t{version}\t{}\t{outcome}",
        report.name,
        report.types.join(",")
    );
}
