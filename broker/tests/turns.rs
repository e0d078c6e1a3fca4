//! Connections that share one thread: each has its turn, however much comes in on the others.

mod house;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use warren::amqp::frame::PROTOCOL_HEADER;
use warren::amqp::{
    AMQPClass, FieldTable, LongString, basic, channel, connection, queue, short_string, write,
};
use warren::auth::Mechanism;
use warren::net::{Acceptor, Gate};
use warren::session::Limits;

use house::{Folder, House, open};

/// What waits in the pipe, and is fewer octets than tokio alone would let a connection read at a
/// stretch.
const MESSAGES: u32 = 100_000;
const PIPE: usize = 12 << 20;

fn acceptor(house: &House) -> Acceptor {
    Acceptor {
        broker: Arc::clone(&house.broker),
        users: Arc::clone(&house.users),
        limits: Limits {
            frame_max: 131_072,
            channel_max: 1,
            heartbeat: 0,
            max_message_size: 1 << 20,
            consumer_max_per_channel: 1,
            mechanisms: [Mechanism::Plain].into(),
            anonymous: Arc::default(),
        },
        handshake_timeout: Duration::from_secs(600),
        max_connections: 1,
        gate: Arc::new(Gate::default()),
        identity: None,
        joined: Arc::new(AtomicU32::new(0)),
    }
}

/// Everything that a publisher has to say, answers or not.
fn flood() -> Vec<u8> {
    let start_ok = connection::AMQPMethod::StartOk(connection::StartOk {
        client_properties: FieldTable::default(),
        mechanism: short_string("PLAIN"),
        response: LongString::from(&b"\0ann\0first"[..]),
        locale: short_string("en_US"),
    });
    let tune_ok = connection::AMQPMethod::TuneOk(connection::TuneOk {
        channel_max: 1,
        frame_max: 131_072,
        heartbeat: 0,
    });
    let open = connection::AMQPMethod::Open(connection::Open {
        virtual_host: short_string("/"),
    });
    let channel = channel::AMQPMethod::Open(channel::Open {});
    let declare = queue::AMQPMethod::Declare(queue::Declare {
        queue: short_string("flood"),
        ..queue::Declare::default()
    });
    let mut out = PROTOCOL_HEADER.to_vec();
    for method in [start_ok, tune_ok, open] {
        write::method(&mut out, 0, AMQPClass::Connection(method));
    }
    write::method(&mut out, 1, AMQPClass::Channel(channel));
    write::method(&mut out, 1, AMQPClass::Queue(declare));
    let publish = basic::AMQPMethod::Publish(basic::Publish {
        routing_key: short_string("flood"),
        ..basic::Publish::default()
    });
    let mut message = Vec::new();
    write::method(&mut message, 1, AMQPClass::Basic(publish));
    // A header frame: class 60, no properties, no body.
    message.extend_from_slice(&[2, 0, 1, 0, 0, 0, 14, 0, 60]);
    message.extend_from_slice(&[0; 12]);
    message.push(206);
    (0..MESSAGES).for_each(|_| out.extend_from_slice(&message));
    out
}

/// Counts turns and not time: what the machine does besides makes no difference.
#[tokio::test(flavor = "current_thread")]
async fn a_stream_of_messages_gives_way_before_its_end() {
    let folder = Folder::new();
    let house = open(&folder);
    let mut publisher = acceptor(&house).join(PIPE);
    publisher.write_all(&flood()).await.expect("room for all");
    let vhost = house.broker.vhost("/").expect("/");
    let mut turns = 0;
    let mut before = 0;
    while before < u64::from(MESSAGES) {
        tokio::task::yield_now().await;
        let ready = vhost.queue("flood").map_or(0, |queue| queue.counts().ready);
        if ready > before {
            turns += 1;
            before = ready;
        }
    }
    assert!(turns > 4, "{MESSAGES} messages in {turns} turns");
    drop(publisher);
    drop(vhost);
    house.close();
}
