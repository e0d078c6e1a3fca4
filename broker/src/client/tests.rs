//! The client against a peer that is played by the test.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::amqp::frame::{Cut, cut};
use crate::amqp::{channel, confirm, connection, queue, short_string, write};

/// The other end: reads nothing that it does not care for.
struct Peer {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Peer {
    async fn next(&mut self) -> (u16, Vec<u8>) {
        loop {
            if let Ok(Cut::Frame { frame, length }) = cut(&self.input, 0) {
                let found = (frame.channel, frame.payload.to_vec());
                self.input.drain(..length);
                return found;
            }
            let read = self.stream.read_buf(&mut self.input).await;
            assert!(read.expect("reads") > 0, "the client is gone");
        }
    }

    async fn wait_for(&mut self, class: u16, method: u16) {
        loop {
            let (_, payload) = self.next().await;
            if crate::amqp::method::class_and_method(&payload) == (class, method) {
                return;
            }
        }
    }

    async fn say(&mut self, channel: u16, class: AMQPClass) {
        let mut out = Vec::new();
        write::method(&mut out, channel, class);
        self.stream.write_all(&out).await.expect("writes");
    }

    async fn open(&mut self) {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).await.expect("reads");
        let start = connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: Default::default(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        });
        self.say(0, AMQPClass::Connection(start)).await;
        self.wait_for(10, 11).await;
        let tune = connection::AMQPMethod::Tune(connection::Tune {
            channel_max: 0,
            frame_max: 131_072,
            heartbeat: 0,
        });
        self.say(0, AMQPClass::Connection(tune)).await;
        self.wait_for(10, 40).await;
        let ok = connection::AMQPMethod::OpenOk(connection::OpenOk {});
        self.say(0, AMQPClass::Connection(ok)).await;
        self.open_channel().await;
    }

    async fn open_channel(&mut self) {
        self.wait_for(20, 10).await;
        let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        self.say(1, AMQPClass::Channel(ok)).await;
        self.wait_for(85, 10).await;
        let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
        self.say(1, AMQPClass::Confirm(ok)).await;
    }
}

async fn pair() -> (Client, Peer) {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let mut peer = Peer {
        stream: theirs,
        input: Vec::new(),
    };
    let options = Options {
        task: None,
        user: "guest".into(),
        password: "guest".into(),
        by_certificate: false,
        vhost: "/".into(),
        name: "test".into(),
        heartbeat: 0,
        confirms: true,
    };
    let open = Client::open(Box::new(ours), &options);
    let (client, ()) = tokio::join!(open, peer.open());
    (client.expect("opens"), peer)
}

fn declare() -> queue::Declare {
    queue::Declare {
        queue: short_string("q"),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Default::default(),
    }
}

async fn taken(client: &Client, count: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    while batches.iter().map(Batch::len).sum::<usize>() < count {
        match client.receive(3).expect("connected") {
            Some(batch) => batches.push(batch),
            None => client.changed().await,
        }
    }
    batches
}

#[tokio::test]
async fn messages_come_in_batches_whatever_the_frames_they_came_in() {
    let (client, mut peer) = pair().await;
    let mut out = Vec::new();
    for tag in 1..=10_u64 {
        let body = vec![tag as u8; 9_000];
        write::deliver(&mut out, 4096, 1, "c", tag, false, "x", "key", &[], &body);
    }
    // In pieces that end anywhere.
    let send = async {
        for piece in out.chunks(1_001) {
            peer.stream.write_all(piece).await.expect("writes");
            tokio::task::yield_now().await;
        }
    };
    let (batches, ()) = tokio::join!(taken(&client, 10), send);
    let all = batches.iter().flat_map(|batch| batch.deliveries(0..9));
    for (index, delivery) in all.enumerate() {
        assert_eq!(delivery.tag, index as u64 + 1);
        assert_eq!((delivery.exchange, delivery.routing_key), ("x", "key"));
        assert_eq!(delivery.body, vec![index as u8 + 1; 9_000]);
    }
    assert!(batches.iter().all(|batch| batch.len() <= 3));
}

#[tokio::test]
async fn a_refused_operation_leaves_a_connection_with_a_new_channel() {
    let (client, mut peer) = pair().await;
    let refuse = async {
        peer.wait_for(50, 10).await;
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: 404,
            reply_text: short_string("NOT_FOUND - no queue 'q'"),
            class_id: 50,
            method_id: 10,
        });
        peer.say(1, AMQPClass::Channel(close)).await;
        peer.wait_for(20, 41).await;
        peer.open_channel().await;
        peer.wait_for(50, 10).await;
        let ok = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: short_string("q"),
            message_count: 3,
            consumer_count: 0,
        });
        peer.say(1, AMQPClass::Queue(ok)).await;
    };
    let ask = async {
        let refused = client.declare_queue(declare()).await.expect_err("refused");
        let text = "NOT_FOUND - no queue 'q'".to_owned();
        assert_eq!(refused, ClientError::Refused { code: 404, text });
        client.declare_queue(declare()).await.expect("answered")
    };
    let (facts, ()) = tokio::join!(ask, refuse);
    assert_eq!(facts.messages, 3);
}

#[tokio::test]
async fn what_the_owner_waits_for_ends_when_the_peer_is_gone() {
    let (client, peer) = pair().await;
    let (asked, ()) = tokio::join!(client.declare_queue(declare()), async { drop(peer) });
    assert!(matches!(asked, Err(ClientError::Lost(_))), "{asked:?}");
    assert!(matches!(client.receive(1), Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn content_that_was_not_announced_ends_the_connection() {
    let (client, mut peer) = pair().await;
    peer.stream
        .write_all(b"\x03\0\x01\0\0\0\x01a\xce")
        .await
        .expect("writes");
    while client.receive(1).is_ok() {
        client.changed().await;
    }
    let lost = client.receive(1).expect_err("is lost");
    assert_eq!(lost.to_string(), "content that was not announced");
}
