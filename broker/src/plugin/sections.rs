//! Custom sections of a component: what is written beside the code. Reads and writes the binary's
//! outline only.

/// `\0asm`, version and layer.
pub(super) const PREAMBLE: usize = 8;
const CUSTOM: u8 = 0;

/// The content of the first custom section of this name. Nested modules are not looked into.
pub(super) fn find<'a>(component: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = component.get(PREAMBLE..)?;
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = read_length(after)?;
        let (section, after) = after.split_at_checked(length)?;
        rest = after;
        if *id != CUSTOM {
            continue;
        }
        let (length, section) = read_length(section)?;
        let (found, data) = section.split_at_checked(length)?;
        if found == name.as_bytes() {
            return Some(data);
        }
    }
    None
}

pub(super) fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = Vec::new();
    write_length(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    component.push(CUSTOM);
    write_length(component, section.len());
    component.extend_from_slice(&section);
}

/// LEB128, as WebAssembly counts.
pub(super) fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

pub(super) fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
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
    fn a_section_is_read_back_and_nothing_from_what_is_cut_off() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        append(&mut component, "other", &[7; 300]);
        append(&mut component, "mine", b"abc");
        append(&mut component, "after", b"");
        assert_eq!(find(&component, "mine"), Some(&b"abc"[..]));
        assert_eq!(find(&component, "after"), Some(&b""[..]));
        assert_eq!(find(&component, "none"), None);
        for end in 0..component.len() {
            let _ = find(&component[..end], "after");
        }
        assert_eq!(find(&[0xff; 64], "mine"), None);
    }
}
