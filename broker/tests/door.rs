//! What is administered while clients are connected: virtual hosts, policies, users, limits. In one
//! process, since nothing outside reaches this door yet; the clients are sessions fed with octets.

mod house;

use std::net::SocketAddr;
use std::sync::Arc;

use warren::amqp::frame::{self, Cut};
use warren::amqp::method::{self, Method};
use warren::amqp::{
    AMQPClass, FieldTable, LongString, basic, channel, connection, exchange, queue, write,
};
use warren::auth::{Mechanism, TopicPermissionRow, UserLimits};
use warren::queue::Effects;
use warren::session::{Limits, Session};
use warren::vhost::policy::{Origin, PolicyDefinition};
use warren::vhost::{DoorError, Metadata, Saved, VhostLimits};

use house::{Folder, House, may, open, open_with, user};

impl House {
    fn connect(&self, vhost: &str) -> Client {
        let limits = Limits {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: 0,
            max_message_size: 1 << 20,
            consumer_max_per_channel: 1,
            mechanisms: [Mechanism::Plain].into(),
            anonymous: Arc::default(),
        };
        let peer: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let session = Session::new(
            Arc::clone(&self.broker),
            Arc::clone(&self.users),
            limits,
            peer,
        );
        let mut client = Client {
            session,
            seen: Vec::new(),
        };
        client.feed(frame::PROTOCOL_HEADER.to_vec());
        client.connection(connection::AMQPMethod::StartOk(connection::StartOk {
            client_properties: FieldTable::default(),
            mechanism: "PLAIN".into(),
            response: LongString::from(&b"\0ann\0first"[..]),
            locale: "en_US".into(),
        }));
        client.connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 0,
        }));
        let virtual_host = vhost.into();
        client.connection(connection::AMQPMethod::Open(connection::Open {
            virtual_host,
        }));
        client
    }
}

struct Client {
    session: Session,
    /// Every method that came back.
    seen: Vec<AMQPClass>,
}

impl Client {
    fn feed(&mut self, mut octets: Vec<u8>) {
        let mut effects = Effects::default();
        while !octets.is_empty() {
            let (used, next) = self.session.feed(&octets, &mut effects);
            octets.drain(..used);
            if let warren::session::Next::Wait(warren::session::Wait::Saved { done, then }) = next {
                done.blocking_recv().expect("saved");
                let resumed = warren::session::Resumed::Saved(then);
                let _ = self.session.resume(resumed, &mut effects);
            }
        }
        effects.apply();
        self.look();
    }

    fn look(&mut self) {
        let mut out = Vec::new();
        drop(self.session.outbox.take(&mut out));
        let mut rest = out.as_slice();
        while let Ok(Cut::Frame { frame, length }) = frame::cut(rest, 0) {
            if let Ok(Method::Other(class)) = method::parse(frame.payload) {
                self.seen.push(*class);
            }
            rest = &rest[length..];
        }
    }

    fn send(&mut self, channel: u16, class: AMQPClass) {
        let mut octets = Vec::new();
        write::method(&mut octets, channel, class);
        self.feed(octets);
    }

    fn connection(&mut self, method: connection::AMQPMethod) {
        self.send(0, AMQPClass::Connection(method));
    }

    fn channel(&mut self, number: u16) {
        let open = channel::AMQPMethod::Open(channel::Open {});
        self.send(number, AMQPClass::Channel(open));
    }

    fn queue(&mut self, number: u16, name: &str) {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: name.into(),
            durable: true,
            ..queue::Declare::default()
        });
        self.send(number, AMQPClass::Queue(declare));
    }

    fn exchange(&mut self, number: u16, name: &str) {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: name.into(),
            kind: "fanout".into(),
            durable: true,
            ..exchange::Declare::default()
        });
        self.send(number, AMQPClass::Exchange(declare));
    }

    fn bind(&mut self, number: u16, name: &str, source: &str, key: &str) {
        let bind = queue::AMQPMethod::Bind(queue::Bind {
            queue: name.into(),
            exchange: source.into(),
            routing_key: key.into(),
            ..queue::Bind::default()
        });
        self.send(number, AMQPClass::Queue(bind));
    }

    fn publish(&mut self, number: u16, exchange: &str, key: &str) {
        let publish = basic::AMQPMethod::Publish(basic::Publish {
            exchange: exchange.into(),
            routing_key: key.into(),
            ..basic::Publish::default()
        });
        let mut octets = Vec::new();
        write::method(&mut octets, number, AMQPClass::Basic(publish));
        // A header frame: class 60, no properties, no body.
        let header = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets.push(2);
        octets.extend_from_slice(&number.to_be_bytes());
        octets.extend_from_slice(&(header.len() as u32).to_be_bytes());
        octets.extend_from_slice(&header);
        octets.push(206);
        self.feed(octets);
    }

    /// What the broker has closed this connection or a channel of it with.
    fn closed(&self) -> Option<(u16, String)> {
        self.seen.iter().rev().find_map(|class| match class {
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                Some((close.reply_code, close.reply_text.to_string()))
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                Some((close.reply_code, close.reply_text.to_string()))
            }
            _ => None,
        })
    }

    fn is_closed_with(&self, code: u16, text: &str) {
        assert_eq!(self.closed(), Some((code, text.to_owned())));
    }

    /// What `net/` does when the session's outbox was poked.
    fn look_at_dismissal(&mut self) {
        let mut effects = Effects::default();
        let reason = self.session.dismissed().expect("dismissed");
        self.session.dismiss(&reason, &mut effects);
        effects.apply();
        self.look();
    }
}

fn wait(saved: Saved) {
    match saved {
        Saved::Nothing => {}
        Saved::Later(done) => done.blocking_recv().expect("saved"),
    }
}

fn alternate(name: &str, pattern: &str, to: &str) -> PolicyDefinition {
    let definition = serde_json::json!({ "alternate-exchange": to });
    let serde_json::Value::Object(definition) = definition else {
        panic!("a table")
    };
    PolicyDefinition {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        apply_to: "exchanges".to_owned(),
        priority: 0,
        definition,
    }
}

#[test]
fn a_policy_gives_exchanges_an_alternate_while_they_are_used_and_after_a_restart() {
    let folder = Folder::new();
    let house = open(&folder);
    let mut client = house.connect("/");
    client.channel(1);
    client.queue(1, "lost");
    client.exchange(1, "orders");
    client.exchange(1, "unrouted");
    client.bind(1, "lost", "unrouted", "");
    let vhost = house.broker.vhost("/").expect("/");
    let ready = || vhost.queue("lost").expect("lost").counts().ready;
    client.publish(1, "orders", "a");
    assert_eq!(ready(), 0);
    let stated = alternate("ae", "^orders$", "unrouted");
    wait(vhost.set_policy(Origin::User, stated.clone()).expect("set"));
    client.publish(1, "orders", "b");
    assert_eq!(ready(), 1);
    // What is declared later has it too.
    let stated_later = alternate("later", "^later$", "unrouted");
    wait(vhost.set_policy(Origin::User, stated_later).expect("set"));
    client.exchange(1, "later");
    client.publish(1, "later", "c");
    assert_eq!(ready(), 2);
    wait(vhost.clear_policy(Origin::User, "later").expect("cleared"));
    client.publish(1, "later", "d");
    assert_eq!(ready(), 2);
    let again = vhost.clear_policy(Origin::User, "later");
    assert_eq!(again.err(), Some(DoorError::NoSuchPolicy));
    assert_eq!(client.closed(), None);
    drop(client);
    drop(vhost);
    house.close();

    let house = open(&folder);
    let vhost = house.broker.vhost("/").expect("/");
    assert_eq!(vhost.policies(Origin::User), [stated]);
    let orders = vhost.exchange("orders").expect("orders");
    assert_eq!(orders.alternate().as_deref(), Some("unrouted"));
    let in_force = vhost.policies_of_exchange(&orders);
    assert_eq!(in_force.policy.as_deref(), Some("ae"));
    house.close();
}

#[test]
fn a_deleted_vhost_takes_its_connections_queues_and_permissions_with_it() {
    let folder = Folder::new();
    let house = open(&folder);
    let metadata = Metadata {
        description: "for a while".to_owned(),
        ..Metadata::default()
    };
    wait(
        house
            .broker
            .create_vhost("shop", metadata)
            .expect("created"),
    );
    let twice = house.broker.create_vhost("shop", Metadata::default());
    assert_eq!(twice.err(), Some(DoorError::VhostExists("shop".to_owned())));
    house.connect("shop").is_closed_with(
        530,
        "NOT_ALLOWED - access to vhost 'shop' refused for user 'ann'",
    );
    wait(
        house
            .users
            .set_permissions(may("ann", "shop", ".*"))
            .expect("set"),
    );
    let mut client = house.connect("shop");
    client.channel(1);
    client.queue(1, "q");
    client.exchange(1, "x");
    client.bind(1, "q", "x", "");
    client.publish(1, "x", "");
    let mut elsewhere = house.connect("/");
    let gone = house.broker.vhost("shop").expect("shop");
    wait(house.users.delete_vhost("shop").expect("deleted"));
    assert_eq!(elsewhere.session.dismissed(), None);
    elsewhere.channel(1);
    assert_eq!(elsewhere.closed(), None);
    client.look_at_dismissal();
    client.is_closed_with(320, "CONNECTION_FORCED - vhost 'shop' is deleted");
    assert!(gone.queues().is_empty());
    let late = gone.set_policy(Origin::User, alternate("p", "", "x"));
    assert_eq!(late.err(), Some(DoorError::NoSuchVhost("shop".to_owned())));
    house
        .connect("shop")
        .is_closed_with(530, "NOT_ALLOWED - vhost shop not found");
    assert!(!house.users.may_enter("ann", "shop"));
    drop((client, elsewhere, gone));
    house.close();

    let house = open(&folder);
    assert!(house.broker.vhost("shop").is_none());
    assert_eq!(house.users.permissions(), [may("ann", "/", ".*")]);
    wait(
        house
            .broker
            .create_vhost("shop", Metadata::default())
            .expect("again"),
    );
    let shop = house.broker.vhost("shop").expect("shop");
    assert!(shop.queue("q").is_none() && shop.exchange("x").is_none());
    house.close();
}

#[test]
fn a_protected_vhost_stays_and_its_limits_survive_a_restart() {
    let folder = Folder::new();
    let house = open(&folder);
    let metadata = Metadata {
        protected_from_deletion: true,
        default_queue_type: Some("quorum".to_owned()),
        ..Metadata::default()
    };
    wait(
        house
            .broker
            .set_vhost_metadata("/", metadata.clone())
            .expect("set"),
    );
    let limits = VhostLimits {
        max_connections: Some(1),
        max_queues: Some(1),
    };
    wait(house.broker.set_vhost_limits("/", limits).expect("set"));
    let refused = house.users.delete_vhost("/");
    assert_eq!(refused.err(), Some(DoorError::Protected("/".to_owned())));
    house.close();

    let house = open(&folder);
    let vhost = house.broker.vhost("/").expect("/");
    assert_eq!((vhost.metadata(), vhost.limits()), (metadata, limits));
    let mut client = house.connect("/");
    client.channel(1);
    client.queue(1, "first");
    client.queue(1, "first");
    assert_eq!(client.closed(), None);
    let arguments = &vhost.queue("first").expect("first").attributes.arguments;
    assert_eq!(arguments, b"\x0cx-queue-typeS\0\0\0\x06quorum");
    client.queue(1, "second");
    let text = "PRECONDITION_FAILED - cannot declare queue 'second': queue limit in vhost '/' \
                (1) is reached";
    client.is_closed_with(406, text);
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'ann': connection limit (1) is \
                reached";
    house.connect("/").is_closed_with(530, text);
    drop(client);
    assert_eq!(house.connect("/").closed(), None);
    house.close();
}

#[test]
fn a_users_limits_count_over_all_connections_and_vhosts() {
    let folder = Folder::new();
    let house = open(&folder);
    let limits = |max_connections, max_channels| UserLimits {
        max_connections: Some(max_connections),
        max_channels: Some(max_channels),
    };
    wait(house.users.set_limits("ann", limits(2, 2)).expect("set"));
    let mut first = house.connect("/");
    let mut second = house.connect("/");
    let text = "NOT_ALLOWED - connection refused for user 'ann': user connection limit (2) is \
                reached";
    house.connect("/").is_closed_with(530, text);
    first.channel(1);
    second.channel(1);
    second.channel(2);
    let text = "NOT_ALLOWED - number of channels opened for user 'ann' has reached the maximum \
                allowed user limit of (2)";
    second.is_closed_with(530, text);
    // Its place and its channel are free again.
    first.channel(2);
    assert_eq!(first.closed(), None);
    assert_eq!(house.connect("/").closed(), None);
    wait(house.users.set_limits("ann", limits(-1, -1)).expect("set"));
    first.channel(3);
    assert_eq!(first.closed(), None);
    house.close();
}

#[test]
fn a_permission_that_changes_holds_on_open_connections() {
    let folder = Folder::new();
    let house = open(&folder);
    let mut client = house.connect("/");
    client.channel(1);
    client.exchange(1, "x");
    client.publish(1, "x", "");
    client.publish(1, "x", "");
    assert_eq!(client.closed(), None);
    wait(
        house
            .users
            .set_permissions(may("ann", "/", "^y"))
            .expect("set"),
    );
    client.publish(1, "x", "");
    let text = "ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'ann'";
    client.is_closed_with(403, text);
    wait(house.users.clear_permissions("ann", "/").expect("cleared"));
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'ann'";
    house.connect("/").is_closed_with(530, text);
    house.close();
}

#[test]
fn topics_are_permitted_one_by_one_for_publishing_and_binding() {
    let folder = Folder::new();
    let house = open(&folder);
    let topic = TopicPermissionRow {
        user: "ann".to_owned(),
        vhost: "/".to_owned(),
        exchange: "amq.topic".to_owned(),
        write: r"^{username}\.".to_owned(),
        read: "^r".to_owned(),
    };
    wait(house.users.set_topic_permissions(topic).expect("set"));
    let mut client = house.connect("/");
    client.channel(1);
    client.queue(1, "q");
    client.bind(1, "q", "amq.topic", "rx");
    client.publish(1, "amq.topic", "ann.x");
    client.publish(1, "amq.topic", "ann.y");
    // No topic exchange, or none that anything is said about.
    client.publish(1, "amq.fanout", "bob.x");
    assert_eq!(client.closed(), None);
    client.publish(1, "amq.topic", "bob.x");
    let text = |access: &str, key: &str| {
        format!(
            "ACCESS_REFUSED - {access} access to topic '{key}' in exchange exchange 'amq.topic' \
             in vhost '/' refused for user 'ann'"
        )
    };
    client.is_closed_with(403, &text("write", "bob.x"));
    client.channel(2);
    client.bind(2, "q", "amq.topic", "w");
    client.is_closed_with(403, &text("read", "w"));
    let cleared = house.users.clear_topic_permissions("ann", "/", None);
    wait(cleared.expect("cleared"));
    client.seen.clear();
    client.channel(3);
    client.bind(3, "q", "amq.topic", "w");
    client.publish(3, "amq.topic", "bob.x");
    assert_eq!(client.closed(), None);
    house.close();
}

#[test]
fn users_of_the_configuration_count_only_in_a_new_store() {
    let folder = Folder::new();
    let house = open(&folder);
    wait(house.users.put_user(user("bob", "bobs")).expect("put"));
    wait(
        house
            .users
            .set_permissions(may("bob", "/", "^b"))
            .expect("set"),
    );
    house.close();

    let house = open_with(&folder, "second");
    assert_eq!(house.users.login("ann", b"first", true), Ok(()));
    assert!(house.users.login("ann", b"second", true).is_err());
    assert_eq!(house.users.login("bob", b"bobs", true), Ok(()));
    assert!(house.users.may_enter("bob", "/"));
    wait(house.users.delete_user("ann").expect("deleted"));
    house.close();

    let house = open_with(&folder, "third");
    assert!(house.users.login("ann", b"third", true).is_err());
    assert_eq!(house.users.users(), [user("bob", "bobs")]);
    house.close();
}

#[test]
fn a_deleted_user_is_disconnected_and_what_is_unknown_is_said() {
    let folder = Folder::new();
    let house = open(&folder);
    let mut client = house.connect("/");
    wait(house.users.delete_user("ann").expect("deleted"));
    client.look_at_dismissal();
    client.is_closed_with(320, "CONNECTION_FORCED - user 'ann' is deleted");
    let gone = DoorError::NoSuchUser("ann".to_owned());
    let users = &house.users;
    assert_eq!(users.delete_user("ann").err(), Some(gone.clone()));
    assert_eq!(users.set_tags("ann", Vec::new()).err(), Some(gone.clone()));
    assert_eq!(users.set_permissions(may("ann", "/", "")).err(), Some(gone));
    wait(users.put_user(user("bob", "bobs")).expect("put"));
    let nowhere = users.set_permissions(may("bob", "nowhere", ""));
    let missing = DoorError::NoSuchVhost("nowhere".to_owned());
    assert_eq!(nowhere.err(), Some(missing));
    let wrong = users.set_permissions(may("bob", "/", "("));
    assert!(matches!(wrong.err(), Some(DoorError::InvalidPattern(_))));
    assert!(!users.may_enter("bob", "/"));
    house.close();
}

#[test]
fn a_channel_has_only_so_many_consumers() {
    let folder = Folder::new();
    let house = open(&folder);
    let mut client = house.connect("/");
    client.channel(1);
    client.queue(1, "q");
    let consume = || {
        AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            queue: "q".into(),
            ..basic::Consume::default()
        }))
    };
    client.send(1, consume());
    assert_eq!(client.closed(), None);
    client.send(1, consume());
    client.is_closed_with(
        530,
        "NOT_ALLOWED - reached maximum (1) of consumers per channel",
    );
    house.close();
}
