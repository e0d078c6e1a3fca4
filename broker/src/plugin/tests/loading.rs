//! What is loaded, what is refused and with which words, and what the cache may be trusted with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::fixture::*;
use crate::clock::SystemClock;
use crate::plugin::{
    LoadReport, Outcome, PluginHost, PluginOptions, PluginSettings, PluginState, no_relief,
};
use crate::vhost::exchange_type::{ExchangeTypes, OpenRefusal, Opening};
use crate::vhost::kept::Kept;

fn reason(report: &LoadReport) -> &str {
    match &report.outcome {
        Outcome::Refused(reason) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn refusal(bytes: &[u8]) -> String {
    let bench = Bench::new(&[("probe", bytes)]);
    assert!(matches!(
        bench.try_open("probe", b""),
        Err(OpenRefusal::UnknownType)
    ));
    reason(&bench.reports[0]).to_owned()
}

#[test]
fn a_good_component_is_reported_with_its_types_and_version() {
    let bench = Bench::new(&[("probe", &probe("x-probe"))]);
    let report = &bench.reports[0];
    assert_eq!(report.outcome, Outcome::Loaded);
    assert_eq!(report.types, ["x-probe"]);
    assert_eq!(report.version.as_deref(), Some("0.1.0"));
    let status = &bench.host.plugins()[0];
    assert_eq!(status.state, PluginState::Running);
    assert_eq!(status.summary, "hello");
}

#[test]
fn every_cut_of_a_component_is_refused_and_none_panics() {
    let whole = probe("probe");
    for length in [0, 1, 7, 9, 100, whole.len() / 2, whole.len() - 1] {
        let text = refusal(&whole[..length]);
        assert!(text.contains("not a "), "{length}: {text}");
    }
    // The header alone is a whole component with nothing in it.
    assert!(refusal(&whole[..8]).contains("does not export"));
}

#[test]
fn a_core_module_is_refused_with_advice() {
    let module = wat::parse_str("(module)").expect("assembles");
    assert!(refusal(&module).contains("core WebAssembly module"));
}

#[test]
fn a_component_of_another_version_is_refused_with_both_versions() {
    let text = probe_text("probe", 1).replace("0.1.0", "0.2.0");
    let newer = refusal(&encode(&text, &wit("0.2.0")));
    assert!(newer.contains("warren:exchange@0.2.0"), "{newer}");
    assert!(newer.contains("warren:exchange@0.1.0"), "{newer}");
}

#[test]
fn a_component_without_the_export_is_refused() {
    let empty = wat::parse_str("(component)").expect("assembles");
    assert!(refusal(&empty).contains("does not export warren:exchange/exchange-type"));
}

#[test]
fn an_import_that_was_not_granted_is_named() {
    let sockets = "(component
        (import \"wasi:sockets/tcp@0.2.6\" (instance))
        (instance $i) (export \"warren:exchange/exchange-type@0.1.0\" (instance $i)))";
    let text = refusal(&wat::parse_str(sockets).expect("assembles"));
    assert!(
        text.contains("imports wasi:sockets/tcp@0.2.6, which was not granted"),
        "{text}"
    );
}

#[test]
fn an_export_of_the_right_name_and_the_wrong_shape_is_refused() {
    let hollow = "(component
        (instance $i) (export \"warren:exchange/exchange-type@0.1.0\" (instance $i)))";
    let text = refusal(&wat::parse_str(hollow).expect("assembles"));
    assert!(text.contains("does not fit its WIT package"), "{text}");
}

#[test]
fn a_fault_in_describe_refuses_the_component_with_its_kind() {
    let begin = "#describe\") (result i32)";
    for (fault, kind) in [
        ("unreachable", "trap: in describe"),
        ("(loop $for_ever (br $for_ever))", "timeout: in describe"),
    ] {
        let text = probe_text("probe", 1);
        assert!(text.contains(begin));
        let text = text.replace(begin, &format!("{begin} {fault}"));
        let refused = refusal(&encode(&text, &wit("0.1.0")));
        assert!(refused.contains(kind), "{refused}");
    }
}

#[test]
fn of_two_plugins_with_one_type_the_second_is_refused_naming_both() {
    let bytes = probe("probe");
    let bench = Bench::new(&[("first", &bytes), ("second", &bytes)]);
    assert_eq!(bench.reports[0].outcome, Outcome::Loaded);
    let text = reason(&bench.reports[1]);
    assert!(
        text.contains("\"first\"") && text.contains("\"second\""),
        "{text}"
    );
    bench.open("probe", "");
}

struct Loads {
    folder: Folder,
    settings: BTreeMap<String, PluginSettings>,
}

impl Loads {
    fn new() -> Loads {
        Loads {
            folder: Folder::new(),
            settings: BTreeMap::new(),
        }
    }

    fn load(
        &self,
        builtin: &[(&str, &[u8])],
        directory: Option<&Path>,
    ) -> (Arc<PluginHost>, Vec<LoadReport>) {
        let options = PluginOptions {
            cache_dir: self.folder.0.join("cache"),
            trace_dir: self.folder.0.join("traces"),
            node: "test".to_owned(),
            compiler: None,
            plugins: self.settings.clone(),
            defaults: patient(),
            relief: no_relief(),
        };
        PluginHost::load(options, builtin, directory, Arc::new(SystemClock))
    }

    fn cached(&self) -> Vec<std::path::PathBuf> {
        fs::read_dir(self.folder.0.join("cache"))
            .expect("is there")
            .map(|entry| entry.expect("is readable").path())
            .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
            .collect()
    }
}

fn works(host: &PluginHost, type_name: &str) -> bool {
    let opening = Opening {
        vhost: "/",
        exchange: "orders",
        type_name,
        arguments: b"",
        kept: &Kept::nowhere(),
    };
    host.open(&opening).is_ok()
}

#[test]
fn components_of_the_folder_have_their_file_s_name() {
    let loads = Loads::new();
    let folder = Folder::new();
    fs::write(folder.0.join("geo.wasm"), probe("x-geo")).expect("writes");
    fs::write(folder.0.join("broken.wasm"), b"\0asm").expect("writes");
    fs::write(folder.0.join("readme.txt"), b"no plugin").expect("writes");
    fs::write(folder.0.join("probe.wasm"), probe("x-other")).expect("writes");
    let (host, reports) = loads.load(&[("probe", &probe("probe"))], Some(&folder.0));
    let names: Vec<_> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["probe", "broken", "geo", "probe"]);
    assert!(reason(&reports[1]).contains("4 bytes"));
    assert!(reason(&reports[3]).contains("built-in plugin named \"probe\""));
    assert!(works(&host, "x-geo") && works(&host, "probe") && !works(&host, "x-other"));
    let types = host.types();
    assert_eq!(types[1], ("x-geo".to_owned(), "geo".to_owned()));
}

#[test]
fn a_missing_folder_is_no_plugins() {
    let (host, reports) = Loads::new().load(&[], Some(Path::new("/nonexistent")));
    assert!(reports.is_empty() && host.plugins().is_empty());
}

#[test]
fn a_disabled_plugin_is_reported_and_its_type_is_free_for_another() {
    let mut loads = Loads::new();
    let off = PluginSettings {
        enabled: false,
        ..PluginSettings::default()
    };
    loads.settings.insert("first".to_owned(), off);
    let bytes = probe("probe");
    let (host, reports) = loads.load(&[("first", &bytes), ("second", &bytes)], None);
    assert_eq!(reports[0].outcome, Outcome::Disabled);
    assert_eq!(reports[1].outcome, Outcome::Loaded);
    assert!(works(&host, "probe"));
    assert_eq!(host.plugins()[0].state, PluginState::Disabled);
}

#[test]
fn limits_are_per_plugin() {
    let mut loads = Loads::new();
    let small = PluginSettings {
        memory: Some(128 << 10),
        stack: Some(256 << 10),
        ..PluginSettings::default()
    };
    loads.settings.insert("small".to_owned(), small);
    let (_, reports) = loads.load(
        &[("small", &probe("x-small")), ("large", &probe("x-large"))],
        None,
    );
    // The probe begins with four pages.
    assert!(reason(&reports[0]).contains("memory"), "{:?}", reports[0]);
    assert_eq!(reports[1].outcome, Outcome::Loaded);
}

#[test]
fn a_second_start_takes_the_compiled_component_from_a_private_folder() {
    let loads = Loads::new();
    let bytes = probe("probe");
    loads.load(&[("probe", &bytes)], None);
    let first = loads.cached();
    assert_eq!(first.len(), 1);
    let written = fs::metadata(&first[0]).expect("is there");
    assert_eq!(written.permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(loads.folder.0.join("cache")).expect("is there");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    let (host, _) = loads.load(&[("probe", &bytes)], None);
    assert!(works(&host, "probe"));
    assert_eq!(loads.cached(), first);
    let again = fs::metadata(&first[0]).expect("is there");
    let modified = |metadata: &fs::Metadata| metadata.modified().expect("has a time");
    assert_eq!(modified(&again), modified(&written), "compiled again");
}

#[test]
fn a_damaged_or_foreign_cache_entry_is_compiled_again() {
    let loads = Loads::new();
    let (bytes, other) = (probe("probe"), probe("x-other"));
    loads.load(&[("probe", &bytes)], None);
    let path = loads.cached().remove(0);
    let good = fs::read(&path).expect("reads");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &good[..40], &good[..good.len() - 1], b""] {
        fs::write(&path, damaged).expect("writes");
        let (host, reports) = loads.load(&[("probe", &bytes)], None);
        assert_eq!(reports[0].outcome, Outcome::Loaded);
        assert!(works(&host, "probe"));
        assert_eq!(fs::read(&path).expect("reads").len(), good.len());
    }
    // A whole entry, but of another component.
    loads.load(&[("other", &other)], None);
    let foreign = loads.cached().into_iter().find(|found| *found != path);
    fs::copy(foreign.expect("is there"), &path).expect("copies");
    let (host, _) = loads.load(&[("probe", &bytes)], None);
    assert!(works(&host, "probe") && !works(&host, "x-other"));
    // Another key: nothing made with the old one counts.
    fs::write(loads.folder.0.join("cache/key"), [7; 32]).expect("writes");
    let (host, _) = loads.load(&[("probe", &bytes)], None);
    assert!(works(&host, "probe"));
}

#[test]
fn a_cache_that_cannot_be_written_only_costs_time() {
    let loads = Loads::new();
    fs::write(loads.folder.0.join("cache"), b"a file in its place").expect("writes");
    let (host, reports) = loads.load(&[("probe", &probe("probe"))], None);
    assert_eq!(reports[0].outcome, Outcome::Loaded);
    assert!(works(&host, "probe"));
}
