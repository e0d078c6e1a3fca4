//! Hand-written frames: golden octets, and the same from amq-protocol's generator.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame};
use amq_protocol::protocol::basic;

use super::*;
use crate::amqp::BasicProperties;

const BODY: &[u8] = b"hello";

fn content_frames(channel: u16, parts: &[&[u8]]) -> Vec<u8> {
    let header = AMQPFrame::Header(
        channel,
        AMQPContentHeader {
            class_id: 60,
            body_size: parts.iter().map(|part| part.len() as u64).sum(),
            properties: BasicProperties::default().with_delivery_mode(2),
        },
    );
    let mut out = generate(gen_frame(&header));
    for part in parts {
        let body = AMQPFrame::Body(channel, part.to_vec());
        out.extend(generate(gen_frame(&body)));
    }
    out
}

fn with_content(method: basic::AMQPMethod, channel: u16) -> Vec<u8> {
    let frame = AMQPFrame::Method(channel, AMQPClass::Basic(method));
    let mut out = generate(gen_frame(&frame));
    out.extend(content_frames(channel, &[BODY]));
    out
}

const PERSISTENT: &[u8] = &[0x10, 0, 2];

#[test]
fn deliver_writes_its_golden_octets() {
    let mut out = vec![1, 2, 3];
    deliver(
        &mut out, 131_072, 1, "ct", 9, true, "x", "k", PERSISTENT, BODY,
    );
    let golden: &[u8] = b"\x01\x02\x03\
        \x01\x00\x01\x00\x00\x00\x14\x00\x3c\x00\x3c\x02ct\x00\x00\x00\x00\x00\x00\x00\x09\x01\x01x\x01k\xce\
        \x02\x00\x01\x00\x00\x00\x0f\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x10\x00\x02\xce\
        \x03\x00\x01\x00\x00\x00\x05hello\xce";
    assert_eq!(out, golden);
}

#[test]
fn ack_writes_its_golden_octets() {
    let mut out = Vec::new();
    ack(&mut out, 7, 9, true);
    assert_eq!(
        out,
        b"\x01\x00\x07\x00\x00\x00\x0d\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x09\x01\xce"
    );
    out.clear();
    heartbeat(&mut out);
    assert_eq!(out, b"\x08\x00\x00\x00\x00\x00\x00\xce");
}

#[test]
fn methods_with_content_are_what_amq_protocol_writes() {
    let mut out = Vec::new();
    deliver(
        &mut out, 0, 513, "tag", 70_000, false, "x", "a.b", PERSISTENT, BODY,
    );
    let method = basic::AMQPMethod::Deliver(basic::Deliver {
        consumer_tag: "tag".into(),
        delivery_tag: 70_000,
        redelivered: false,
        exchange: "x".into(),
        routing_key: "a.b".into(),
    });
    assert_eq!(out, with_content(method, 513));

    out.clear();
    get_ok(&mut out, 0, 1, 3, true, "x", "a.b", 42, PERSISTENT, BODY);
    let method = basic::AMQPMethod::GetOk(basic::GetOk {
        delivery_tag: 3,
        redelivered: true,
        exchange: "x".into(),
        routing_key: "a.b".into(),
        message_count: 42,
    });
    assert_eq!(out, with_content(method, 1));

    out.clear();
    basic_return(
        &mut out, 0, 1, 312, "NO_ROUTE", "x", "a.b", PERSISTENT, BODY,
    );
    let method = basic::AMQPMethod::Return(basic::Return {
        reply_code: 312,
        reply_text: "NO_ROUTE".into(),
        exchange: "x".into(),
        routing_key: "a.b".into(),
    });
    assert_eq!(out, with_content(method, 1));

    out.clear();
    publish(&mut out, 0, 1, "x", "a.b", true, PERSISTENT, BODY);
    let method = basic::AMQPMethod::Publish(basic::Publish {
        exchange: "x".into(),
        routing_key: "a.b".into(),
        mandatory: true,
        immediate: false,
    });
    assert_eq!(out, with_content(method, 1));
}

#[test]
fn acks_and_nacks_are_what_amq_protocol_writes() {
    for (multiple, requeue) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut ours = Vec::new();
        ack(&mut ours, 3, 4, multiple);
        nack(&mut ours, 3, 5, multiple, requeue);
        let mut theirs = Vec::new();
        let delivery_tag = 4;
        method(
            &mut theirs,
            3,
            AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack {
                delivery_tag,
                multiple,
            })),
        );
        let delivery_tag = 5;
        method(
            &mut theirs,
            3,
            AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack {
                delivery_tag,
                multiple,
                requeue,
            })),
        );
        assert_eq!(ours, theirs);
    }
}

#[test]
fn a_body_is_cut_to_frame_max_without_an_empty_frame() {
    let body = vec![7; 10];
    for (frame_max, sizes) in [(13, vec![5, 5]), (12, vec![4, 4, 2]), (18, vec![10])] {
        let mut out = Vec::new();
        deliver(
            &mut out, frame_max, 1, "", 1, false, "", "", PERSISTENT, &body,
        );
        let parts: Vec<&[u8]> = sizes.iter().map(|size| &body[..*size]).collect();
        assert!(out.ends_with(&content_frames(1, &parts)), "{frame_max}");
        assert_eq!(
            out.iter().filter(|octet| **octet == 206).count(),
            2 + parts.len()
        );
    }
}

#[test]
fn an_empty_body_has_no_body_frame() {
    let mut out = Vec::new();
    deliver(&mut out, 4096, 1, "", 1, false, "", "", &[], &[]);
    assert!(out.ends_with(
        b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xce"
    ));
}

#[test]
fn one_reservation_holds_a_delivery() {
    for size in [0, 1, 100, 4088, 4089, 100_000] {
        let body = vec![0; size];
        let mut out = Vec::new();
        deliver(
            &mut out, 4096, 1, "tag", 1, false, "x", "k", PERSISTENT, &body,
        );
        let needed = out.len();
        let mut exact = Vec::new();
        reserve(&mut exact, 4096, 1 + 3 + 8 + 1 + 2 + 2, PERSISTENT, &body);
        assert!(exact.capacity() >= needed, "{size}");
    }
}

#[test]
fn texts_that_are_too_long_are_cut() {
    let mut out = Vec::new();
    let key = "ü".repeat(200);
    publish(&mut out, 0, 1, "", &key, false, &[], &[]);
    assert_eq!(out[14], 254);
}
