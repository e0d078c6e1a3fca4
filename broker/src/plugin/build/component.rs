//! From core module to component, and the custom section with the hash of its sources. Reads and
//! writes the binary's outline only; what is inside is for wit-component and wasmtime.

use anyhow::{Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm};

use super::SECTION;

/// The only packages a built plugin imports from: in particular no WASI.
const IMPORTED: &str = "warren";
/// `\0asm`, version and layer.
const PREAMBLE: usize = 8;
const CUSTOM: u8 = 0;

pub fn wrap(module: &[u8], source_hash: &str) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(true).module(module)?;
    let mut component = encoder.encode()?;
    refuse_foreign_imports(&component)?;
    append_section(&mut component, SECTION, source_hash.as_bytes());
    Ok(component)
}

/// The hash of the sources that the component was built from, when it carries one.
pub fn embedded_hash(component: &[u8]) -> Option<String> {
    let mut rest = component.get(PREAMBLE..)?;
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = read_length(after)?;
        let (section, after) = after.split_at_checked(length)?;
        rest = after;
        if *id != CUSTOM {
            continue;
        }
        let (length, section) = read_length(section)?;
        let (name, data) = section.split_at_checked(length)?;
        if name == SECTION.as_bytes() {
            return String::from_utf8(data.to_vec()).ok();
        }
    }
    None
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

fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = Vec::new();
    write_length(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    component.push(CUSTOM);
    write_length(component, section.len());
    component.extend_from_slice(&section);
}

/// LEB128, as WebAssembly counts.
fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    // Five octets hold the 32 bits that a length in WebAssembly has.
    for (place, octet) in bytes.iter().take(5).enumerate() {
        length |= usize::from(octet & 0x7f) << (7 * place);
        if octet & 0x80 == 0 {
            return Some((length, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_hash_is_read_back() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        append_section(&mut component, "other", &[7; 300]);
        append_section(&mut component, SECTION, b"abc");
        append_section(&mut component, "after", b"");
        assert_eq!(embedded_hash(&component), Some("abc".to_owned()));
    }

    #[test]
    fn no_hash_is_read_from_what_is_cut_off_or_no_component() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        append_section(&mut component, "other", &[7; 300]);
        append_section(&mut component, SECTION, b"abc");
        for end in 0..component.len() {
            assert_eq!(embedded_hash(&component[..end]), None);
        }
        assert_eq!(embedded_hash(&[0xff; 64]), None);
    }
}
