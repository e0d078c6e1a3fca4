//! TLS in front of AMQP, HTTP and metrics: who gets in, as whom, and what happens when certificates
//! change. Clients of other languages are in `tests/interop/tls`.

mod reload;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use warren_tests::kit::{
    Authority, Broker, DEADLINE, Encrypted, Options, Signed, Wire, encrypt, eventually,
};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A broker with encrypted listeners, and who vouches for it and for its clients.
struct House {
    authority: Authority,
    folder: TempDir,
    broker: Broker,
}

fn options(folder: &Path, settings: &str) -> Options {
    let at = |name: &str| folder.join(name).display().to_string();
    let (certificate, key, ca) = (at("server.pem"), at("server.key"), at("ca.pem"));
    let config = format!(
        "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\nverify = \"peer\"\n\
         {settings}\n"
    );
    Options::default()
        .config(config)
        .managed()
        .set("amqp.tls_listen=127.0.0.1:0")
        .set("management.tls_listen=127.0.0.1:0")
        .set("prometheus.tls_listen=127.0.0.1:0")
}

fn written() -> (Authority, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("Authority");
    authority.write(folder.path());
    authority.server().write(folder.path());
    (authority, folder)
}

impl House {
    /// `settings` belong to `[tls]`.
    fn start(settings: &str) -> House {
        let (authority, folder) = written();
        let broker = Broker::start(options(folder.path(), settings));
        House {
            authority,
            folder,
            broker,
        }
    }

    fn address(&self) -> String {
        self.broker.listener("amqp/ssl")
    }

    fn dial(&self, client: Option<&Signed>) -> std::io::Result<Encrypted> {
        encrypt(&self.address(), &self.authority, client, BOTH)
    }

    fn log_in(&self, client: &Signed) -> std::io::Result<Wire<Encrypted>> {
        Wire::log_in(self.dial(Some(client))?, ("EXTERNAL", b""), 0)
    }

    /// What comes back until the other side closes.
    fn ask(&self, protocol: &str, request: &str) -> String {
        let address = self.broker.listener(protocol);
        let stream = encrypt(&address, &self.authority, None, BOTH);
        let mut stream = stream.expect("a handshake");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn add_user(&self, name: &str) {
        let http = self.broker.http();
        let encoded = name.replace(',', "%2C").replace('=', "%3D");
        let user = json!({"password_hash": "", "tags": ""});
        http.put(&format!("/users/{encoded}"), &user).is(201);
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        http.put(&format!("/permissions/%2F/{encoded}"), &all)
            .is(201);
    }
}

#[test]
fn external_takes_the_name_out_of_the_certificate() {
    let house = House::start("");
    let ann = house.authority.sign("ann", "Shop", &["ann.shop"]);
    let refused = house.log_in(&ann).err().expect("nobody knows her");
    assert!(
        refused.to_string().contains("ACCESS_REFUSED"),
        "{refused:?}"
    );
    house.add_user("CN=ann,O=Shop");
    let _wire = house.log_in(&ann).expect("she is known");
    let connections = house.broker.http().json("/connections");
    let shown = &connections[0];
    assert_eq!(shown["user"], "CN=ann,O=Shop");
    assert_eq!(shown["auth_mechanism"], "EXTERNAL");
    assert_eq!(shown["ssl"], true);
    assert_eq!(shown["ssl_protocol"], "tlsv1.3");
    assert_eq!(shown["ssl_key_exchange"], "any");
    assert_eq!(shown["ssl_hash"], "aead");
    assert_eq!(shown["peer_cert_subject"], "CN=ann,O=Shop");
    assert_eq!(shown["peer_cert_issuer"], "CN=Authority");
    let validity = shown["peer_cert_validity"].as_str().expect("text");
    assert!(validity.contains("Z - "), "{validity}");
}

#[test]
fn the_name_may_be_an_alternative_one() {
    let settings = "login_from = \"subject_alternative_name\"\nlogin_san_index = 1";
    let house = House::start(settings);
    house.add_user("second.shop");
    let two = ["first.shop", "second.shop"];
    let signed = house.authority.sign("ann", "Shop", &two);
    house.log_in(&signed).expect("the second name counts");
    let one = house.authority.sign("ann", "Shop", &["second.shop"]);
    assert!(house.log_in(&one).is_err(), "there is no second name");
    house.broker.logs("no name found in the certificate");
}

#[test]
fn external_is_offered_behind_tls_only_and_refused_without_a_certificate() {
    let house = House::start("");
    let mut wire = Wire {
        stream: house.dial(None).expect("a handshake"),
    };
    let offered = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    let start = wire.greet().expect("connection.start");
    assert!(offered(&start.payload).contains("PLAIN AMQPLAIN ANONYMOUS EXTERNAL"));
    let mut plain = Wire::dial(house.broker.address()).expect("a connection");
    let start = plain.greet().expect("connection.start");
    let start = offered(&start.payload);
    assert!(start.contains("PLAIN AMQPLAIN ANONYMOUS") && !start.contains("EXTERNAL"));
    let stream = house.dial(None).expect("a handshake");
    let refused = Wire::log_in(stream, ("EXTERNAL", b""), 0);
    let refused = refused.err().expect("a refusal").to_string();
    let text = "Login was refused using authentication mechanism EXTERNAL.";
    assert!(refused.contains("10.30"), "{refused}");
    house.broker.logs(text);
    house.broker.logs("the client has shown no certificate");
    // A password does as well.
    let stream = house.dial(None).expect("a handshake");
    Wire::log_in(stream, ("PLAIN", b"\0guest\0guest"), 0).expect("guest gets in");
}

#[test]
fn anonymous_is_who_the_configuration_says_while_the_password_holds() {
    let broker = Broker::start(Options::default().managed());
    let log_in = || {
        let stream = Wire::dial(broker.address()).expect("a connection").stream;
        Wire::log_in(stream, ("ANONYMOUS", b"trace"), 0)
    };
    let wire = log_in().expect("guest may");
    let connections = broker.http().json("/connections");
    assert_eq!(connections[0]["user"], "guest");
    assert_eq!(connections[0]["auth_mechanism"], "ANONYMOUS");
    drop(wire);
    let user = json!({"password": "better", "tags": "administrator"});
    broker.http().put("/users/guest", &user).is(204);
    assert!(log_in().is_err(), "the password is another");
}

#[test]
fn certificates_that_nobody_vouches_for_and_old_versions_are_turned_away() {
    let house = House::start("fail_if_no_peer_cert = true\nversions = [\"tls1.3\"]");
    let stranger = Authority::new("Authority").sign("ann", "Shop", &[]);
    assert!(house.log_in(&stranger).is_err());
    house.broker.logs("invalid peer certificate");
    let stream = house.dial(None);
    let read = stream.and_then(|mut stream| stream.read(&mut [0; 8]));
    assert!(read.is_err(), "a certificate is a must: {read:?}");
    let ann = house.authority.sign("ann", "Shop", &[]);
    let old = encrypt(&house.address(), &house.authority, Some(&ann), &[&TLS12]);
    assert!(old.is_err(), "TLS 1.2 is off");
}

#[test]
fn who_never_gets_through_the_handshake_is_dropped() {
    let mut house = House::start("handshake_timeout = \"300ms\"");
    let mut silent = TcpStream::connect(house.address()).expect("a connection");
    silent.set_read_timeout(Some(DEADLINE)).expect("a limit");
    assert_eq!(silent.read(&mut [0; 8]).ok(), Some(0));
    house.broker.logs("the handshake was not over in time");
    let mut plain = TcpStream::connect(house.address()).expect("a connection");
    plain.set_read_timeout(Some(DEADLINE)).expect("a limit");
    plain.write_all(b"AMQP\x00\x00\x09\x01").expect("octets");
    let mut rest = Vec::new();
    // An alert, perhaps, and the end.
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"\x01"), "{rest:?}");
    // Somebody in the middle of it holds up nobody's stop.
    let _silent = TcpStream::connect(house.address()).expect("a connection");
    assert_eq!(house.broker.stop().code(), Some(0));
}

#[test]
fn http_and_metrics_are_served_behind_tls() {
    let house = House::start("");
    let request = "GET /api/whoami HTTP/1.1\r\nhost: x\r\nauthorization: Basic \
                   Z3Vlc3Q6Z3Vlc3Q=\r\nconnection: close\r\n\r\n";
    assert!(
        house
            .ask("https", request)
            .ends_with("{\"name\":\"guest\",\"tags\":[\"administrator\"]}")
    );
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(
        house
            .ask("https/prometheus", request)
            .contains("rabbitmq_build_info")
    );
    let http = house.broker.http();
    let path = "/health/checks/certificate-expiration";
    http.get(&format!("{path}/1/weeks")).is(200);
    let expired = http.get(&format!("{path}/9999/years"));
    let expired = expired.is(503).json();
    assert_eq!(expired["reason"], "Certificates expiring");
    assert_eq!(expired["expired"][0]["protocol"], "amqp/ssl");
    http.get("/health/checks/protocol-listener/https").is(200);
}

#[test]
fn a_session_behind_tls_never_goes_in_the_clear() {
    let house = House::start("");
    let page = |method: &str, path: &str, cookie: &str, body: &str| {
        let length = body.len();
        house.ask(
            "https",
            &format!(
                "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {cookie}\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            ),
        )
    };
    let kept = |answer: &str| {
        let mut lines = answer.lines();
        let cookie = lines.find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.expect("a cookie").to_owned();
        let (value, how) = cookie.split_once("; ").expect("attributes");
        assert_eq!(how, "Path=/; HttpOnly; SameSite=Strict; Secure");
        assert!(value.starts_with("__Host-warren"), "{value}");
        value.to_owned()
    };
    let waiting = kept(&page("GET", "/login", "", ""));
    let (_, token) = waiting.split_once('=').expect("a value");
    let form = format!("token={token}&user=guest&password=guest");
    let session = kept(&page("POST", "/login", &waiting, &form));
    assert!(page("GET", "/", &session, "").contains("<h1>Overview</h1>"));
    // Under the name that it has on a plain listener it opens nothing here.
    let (_, value) = session.split_once('=').expect("a value");
    let other = page("GET", "/queues", &format!("warren={value}"), "");
    assert!(other.starts_with("HTTP/1.1 401 "), "{other}");
}

/// What does not fit into the socket must not be lost behind TLS, nor wait for ever.
#[test]
fn much_that_is_read_late_comes_whole_and_in_order() {
    const MESSAGES: usize = 300;
    let house = House::start("");
    let http = house.broker.http();
    http.put("/queues/%2F/q", &json!({"durable": false}))
        .is(201);
    let stream = house.dial(None).expect("a handshake");
    let mut reader = Wire::log_in(stream, ("PLAIN", b"\0guest\0guest"), 0).expect("guest");
    let body = |number: usize| vec![(number % 251) as u8; 100_000 + number];
    let mut writer = Wire::open(house.broker.address(), 0).expect("guest");
    for number in 0..MESSAGES {
        writer
            .publish("q", &body(number), 100_000)
            .expect("a publish");
    }
    eventually(DEADLINE, || {
        http.json("/queues/%2F/q")["messages"] == MESSAGES
    });
    reader.consume("q", true).expect("basic.consume");
    // The broker has filled the socket when nothing more leaves the queue.
    let mut waiting = 0;
    eventually(DEADLINE, || {
        let before = std::mem::replace(
            &mut waiting,
            http.json("/queues/%2F/q")["messages"].as_u64().unwrap_or(0),
        );
        waiting > 0 && waiting == before
    });
    for number in 0..MESSAGES {
        reader.expect(60, 60).expect("basic.deliver");
        let header = reader.read().expect("a header");
        assert_eq!(header.kind, 2);
        let mut found = Vec::new();
        while found.len() < body(number).len() {
            found.extend(reader.read().expect("a body").payload);
        }
        assert!(found == body(number), "message {number}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_is_wrong_with_it() {
    let (_, folder) = written();
    let refusal = || {
        let failed = Broker::try_start(options(folder.path(), "")).err();
        failed.expect("no broker").log.concat()
    };
    let other = Authority::new("other").server();
    std::fs::write(folder.path().join("server.key"), &other.key).expect("a file");
    let text = refusal();
    assert!(text.contains("no TLS for amqp: "), "{text}");
    assert!(text.contains("server.key: does not belong to the certificate in "));
    std::fs::write(folder.path().join("server.key"), "nothing").expect("a file");
    assert!(refusal().contains("server.key: has no private key (PEM) in it"));
    std::fs::write(folder.path().join("ca.pem"), "").expect("a file");
    assert!(refusal().contains("ca.pem: has no certificate (PEM) in it"));
    std::fs::remove_file(folder.path().join("server.pem")).expect("a file");
    assert!(refusal().contains("server.pem: cannot be read: No such file"));
}
