//! HTTP requests in short. All that there is, with its limits, is in [`crate::http`].

use crate::http::{self, Error, Header, Request, Response};

/// What a server is waited for, from connecting to the last octet of its answer.
const TIMEOUT_MS: u32 = 30_000;

/// Asks for what is there. Any status is an answer; an error is that there was none.
pub fn get(url: &str) -> Result<Response, Error> {
    send("GET", url, &[], Vec::new())
}

/// Posts a body. Any status is an answer; an error is that there was none, and the server may have
/// the body all the same.
pub fn post(url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Response, Error> {
    send("POST", url, headers, body)
}

fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response, Error> {
    let headers = headers.iter().map(|(name, value)| Header {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    http::send(&Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.collect(),
        body,
        timeout: TIMEOUT_MS,
    })
}
