//! Addresses as operators may see them.

/// Without user, password and what stands behind the question mark.
pub fn uri(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{slash}{path}")
}

#[test]
fn passwords_are_not_shown() {
    assert_eq!(uri("amqp://u:p@h:1/v?x=1"), "amqp://h:1/v");
    assert_eq!(uri("amqp://"), "amqp://");
}
