//! From core module to component, and the custom section with the hash of its sources. Reads and
//! writes the binary's outline only; what is inside is for wit-component and wasmtime.

use anyhow::{Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::super::manifest::{self, Manifest};
use super::super::sections::{self, PREAMBLE, read_length, write_length};
use super::SECTION;

/// The only packages a built plugin imports from: in particular no WASI.
const IMPORTED: &str = "warren";
const EXPORTS: u8 = 7;

/// The contract of exchange types.
pub const WIT: &str = include_str!("../../../../wit/exchange/exchange.wit");
/// The contract of interceptors.
pub const INTERCEPTOR_WIT: &str = include_str!("../../../../wit/interceptor/interceptor.wit");
/// The contract of tracers.
pub const TRACER_WIT: &str = include_str!("../../../../wit/tracer/tracer.wit");
/// The contract of services.
pub const SERVICE_WIT: &str = include_str!("../../../../wit/service/service.wit");
/// What a plugin may want beside it.
pub const PLUGIN_WIT: &str = include_str!("../../../../wit/plugin/plugin.wit");
/// What Go's runtime asks of an operating system; `go_runtime.wat` says what becomes of it.
const GO_RUNTIME: &[u8] = include_bytes!("go_runtime.wasm");
const GO_SYSTEM: &str = "wasi_snapshot_preview1";
const GO_WIT: &str = "package warren:go; world runtime { import warren:exchange/host@0.1.0; }";
const WORLD: &str = "include warren:plugin/exchange-plugin@0.1.0;";
const EXCHANGE_TYPE: &str = "warren:exchange/exchange-type@0.1.0";
/// Interfaces that may be exported beside it, each with its only function.
const BESIDE: [(&str, &str); 2] = [
    ("warren:plugin/configuration@0.1.0", "check"),
    ("warren:plugin/by-key@0.1.0", "route-keys"),
];
const FUNCTIONS: [&str; 7] = [
    "describe", "open", "bind", "unbind", "inputs", "route", "due",
];

pub fn wrap(module: &[u8], source_hash: &str) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(true).module(module)?;
    let mut component = encoder.encode()?;
    refuse_foreign_imports(&component)?;
    sections::append(&mut component, SECTION, source_hash.as_bytes());
    Ok(component)
}

/// A core module that was written against [`WIT`] by hand, as a component.
pub fn of_core_module(module: &[u8]) -> Result<Vec<u8>> {
    adapted(module, Vec::new())
}

/// `adapters` are modules that stand for what it imports beside the contract, by their names there.
fn adapted(module: &[u8], adapters: Vec<(&str, Vec<u8>)>) -> Result<Vec<u8>> {
    let mut module = module.to_vec();
    let mut resolve = Resolve::default();
    resolve.push_str("exchange.wit", WIT)?;
    resolve.push_str("plugin.wit", PLUGIN_WIT)?;
    // An export has to be there; an import that the module does not use is left out.
    let beside = BESIDE.iter().filter(|(interface, function)| {
        let name = format!("{interface}#{function}");
        exports(&module, &name)
    });
    let beside: String = beside
        .map(|(interface, _)| format!(" export {interface};"))
        .collect();
    let world = format!("package warren:built; world built {{ {WORLD}{beside} }}");
    let built = resolve.push_str("built.wit", &world)?;
    let world = resolve.select_world(&[built], None)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default().validate(true).module(&module)?;
    for (name, adapter) in adapters {
        encoder = encoder.adapter(name, &adapter)?;
    }
    let component = encoder.encode()?;
    refuse_foreign_imports(&component)?;
    Ok(component)
}

/// As [`of_core_module`], for one that expects an operating system: it gets [`GO_RUNTIME`].
pub fn of_go_module(module: &[u8]) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_str("exchange.wit", WIT)?;
    let package = resolve.push_str("go.wit", GO_WIT)?;
    let world = resolve.select_world(&[package], None)?;
    let mut adapter = GO_RUNTIME.to_vec();
    embed_component_metadata(&mut adapter, &resolve, world, StringEncoding::UTF8)?;
    adapted(module, vec![(GO_SYSTEM, adapter)])
}

/// Whether it has an export of this name. Other places where the name might stand are harmless: the
/// encoder then says what is missing.
fn exports(module: &[u8], name: &str) -> bool {
    memchr::memmem::find(module, name.as_bytes()).is_some()
}

/// A core module whose exports are named after the functions alone, with their full names. Languages
/// that know no hyphen write `route_keys`.
pub fn with_full_names(module: &[u8]) -> Result<Vec<u8>> {
    let cut_off = || anyhow::anyhow!("not a whole WebAssembly module");
    let (preamble, mut rest) = module.split_at_checked(PREAMBLE).ok_or_else(cut_off)?;
    let mut named = preamble.to_vec();
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = read_length(after).ok_or_else(cut_off)?;
        let (section, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
        rest = after;
        let renamed = match *id {
            EXPORTS => full_names(section).ok_or_else(cut_off)?,
            _ => section.to_vec(),
        };
        named.push(*id);
        write_length(&mut named, renamed.len());
        named.extend_from_slice(&renamed);
    }
    Ok(named)
}

fn full_names(section: &[u8]) -> Option<Vec<u8>> {
    let (count, mut rest) = read_length(section)?;
    let mut renamed = Vec::new();
    write_length(&mut renamed, count);
    for _ in 0..count {
        let (length, after) = read_length(rest)?;
        let (name, after) = after.split_at_checked(length)?;
        let full = full_name(name);
        write_length(&mut renamed, full.len());
        renamed.extend_from_slice(&full);
        let (kind, after) = after.split_first()?;
        let (index, after) = read_length(after)?;
        renamed.push(*kind);
        write_length(&mut renamed, index);
        rest = after;
    }
    Some(renamed)
}

fn full_name(name: &[u8]) -> Vec<u8> {
    if FUNCTIONS.iter().any(|known| known.as_bytes() == name) {
        return [EXCHANGE_TYPE.as_bytes(), b"#", name].concat();
    }
    let mut beside = BESIDE.iter();
    match beside.find(|(_, function)| function.replace('-', "_").as_bytes() == name) {
        Some((interface, function)) => format!("{interface}#{function}").into_bytes(),
        None => name.to_vec(),
    }
}

/// The hash of the sources that the component was built from, when it carries one.
pub fn embedded_hash(component: &[u8]) -> Option<String> {
    let data = sections::find(component, SECTION)?;
    String::from_utf8(data.to_vec()).ok()
}

/// Adds what the component says of itself.
pub fn with_manifest(component: &mut Vec<u8>, manifest: &Manifest) -> Result<()> {
    manifest.check().map_err(anyhow::Error::msg)?;
    let data = serde_json::to_vec(manifest)?;
    sections::append(component, manifest::SECTION, &data);
    Ok(())
}

fn refuse_foreign_imports(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("a WIT package and not a component");
    };
    let Some(world) = resolve.worlds.get(world) else {
        bail!("a component without a world");
    };
    for key in world.imports.keys() {
        let name = resolve.name_world_key(key);
        if name.split(':').next() != Some(IMPORTED) {
            bail!("it imports {name}, which no Warren plugin may");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_under_go_is_assembled_from_its_source() {
        let assembled = wat::parse_str(include_str!("go_runtime.wat")).expect("assembles");
        assert!(assembled == GO_RUNTIME, "go_runtime.wasm is older");
    }

    #[test]
    fn the_contract_s_functions_get_their_full_names_and_others_keep_theirs() {
        let text = r#"(module (func (export "route")) (func (export "cabi_realloc"))
            (func (export "route_keys")) (func (export "check")) (memory (export "memory") 1))"#;
        let module = wat::parse_str(text).expect("assembles");
        let named = with_full_names(&module).expect("is a module");
        let full = text
            .replace("route_keys", "warren:plugin/by-key@0.1.0#ROUTE-keys")
            .replace("route", "warren:exchange/exchange-type@0.1.0#route")
            .replace("ROUTE", "route")
            .replace("check", "warren:plugin/configuration@0.1.0#check");
        assert_eq!(named, wat::parse_str(full).expect("assembles"));
        for end in 1..module.len() {
            // Cut between two sections it is a module too.
            let _ = with_full_names(&module[..end]);
        }
    }
}
