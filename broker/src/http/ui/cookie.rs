//! What a browser keeps for these pages: names, and what it may do with the values. Not what they mean.

use super::super::request::Request;

/// A cookie, over plain HTTP and over TLS. Over TLS the prefix has the browser take it from no other
/// host and never send it in the clear; because the names differ, a plain listener of the same host
/// can neither read nor replace it.
#[derive(Clone, Copy)]
pub(super) struct Cookie {
    plain: &'static str,
    encrypted: &'static str,
}

/// Who is logged in.
pub(super) const SESSION: Cookie = Cookie {
    plain: "warren",
    encrypted: "__Host-warren",
};

/// Until somebody is logged in, this stands in for the session: a form from elsewhere does not know
/// what the browser holds here.
pub(super) const LOGIN: Cookie = Cookie {
    plain: "warren_login",
    encrypted: "__Host-warren_login",
};

impl Cookie {
    fn name(self, request: &Request) -> &'static str {
        match request.peer.encrypted {
            true => self.encrypted,
            false => self.plain,
        }
    }

    /// What the browser has kept.
    pub fn of(self, request: &Request) -> Option<&str> {
        let name = self.name(request);
        let cookies = request.header("cookie")?.split(';');
        cookies
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// The header that has it keep a value.
    pub fn set(self, request: &Request, value: &str) -> String {
        let name = self.name(request);
        let secure = match request.peer.encrypted {
            true => "; Secure",
            false => "",
        };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}")
    }

    /// The header that takes the value back.
    pub fn end(self, request: &Request) -> String {
        self.set(request, "") + "; Max-Age=0"
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::request::{Method, Peer};
    use super::*;

    fn request(encrypted: bool) -> Request {
        let cookies = "a=1; warren_x=2; warren=3; __Host-warren=4";
        let headers = vec![("cookie".to_owned(), cookies.to_owned())];
        let peer = Peer {
            encrypted,
            ..Peer::nearby()
        };
        Request::new(Method::Get, "/", headers, peer)
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        assert_eq!(SESSION.of(&request(false)), Some("3"));
        assert_eq!(LOGIN.of(&request(false)), None);
    }

    #[test]
    fn a_cookie_of_tls_is_another_one_and_never_goes_in_the_clear() {
        let encrypted = request(true);
        assert_eq!(SESSION.of(&encrypted), Some("4"));
        let set = "__Host-warren=5; Path=/; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(SESSION.set(&encrypted, "5"), set);
        let ended = "warren=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(SESSION.end(&request(false)), ended);
    }
}
