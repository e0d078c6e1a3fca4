//! Every method of the table, written and parsed, against amq-protocol's own generator.

use amq_protocol::frame::{AMQPFrame, gen_frame};

use super::*;
use crate::amqp::frame::{Cut, FrameKind, cut};
use crate::amqp::samples::every_method;
use crate::amqp::{basic, write};

fn payload_of(class: &AMQPClass) -> Vec<u8> {
    let mut out = Vec::new();
    write::method(&mut out, 1, class.clone());
    out[7..out.len() - 1].to_vec()
}

/// What `parse` makes of the methods that it reads by hand, said with amq-protocol's words.
fn as_class(method: Method<'_>) -> AMQPClass {
    use basic::AMQPMethod::{Ack, Nack, Publish, Reject};
    AMQPClass::Basic(match method {
        Method::Other(class) => return *class,
        Method::Publish(publish) => Publish(basic::Publish {
            exchange: publish.exchange.into(),
            routing_key: publish.routing_key.into(),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
        }),
        Method::Ack {
            delivery_tag,
            multiple,
        } => Ack(basic::Ack {
            delivery_tag,
            multiple,
        }),
        Method::Nack {
            delivery_tag,
            multiple,
            requeue,
        } => Nack(basic::Nack {
            delivery_tag,
            multiple,
            requeue,
        }),
        Method::Reject {
            delivery_tag,
            requeue,
        } => Reject(basic::Reject {
            delivery_tag,
            requeue,
        }),
    })
}

#[test]
fn the_table_has_every_method_of_amq_protocol_once() {
    let mut sampled: Vec<(u16, u16)> = every_method()
        .iter()
        .map(|class| (class.get_amqp_class_id(), class.get_amqp_method_id()))
        .collect();
    let mut listed: Vec<(u16, u16)> = METHODS.iter().map(|row| (row.class, row.method)).collect();
    sampled.sort_unstable();
    listed.sort_unstable();
    assert_eq!(sampled, listed);
    listed.dedup();
    assert_eq!(listed.len(), METHODS.len());
}

#[test]
fn every_method_is_written_as_amq_protocol_writes_it_and_parsed_back() {
    for class in every_method() {
        let mut ours = b"before".to_vec();
        write::method(&mut ours, 513, class.clone());
        let theirs = write::generate(gen_frame(&AMQPFrame::Method(513, class.clone())));
        assert_eq!(ours, [b"before".as_slice(), &theirs].concat(), "{class:?}");

        let Ok(Cut::Frame { frame, length }) = cut(&theirs, 4096) else {
            panic!("{class:?}");
        };
        assert_eq!((frame.kind, frame.channel), (FrameKind::Method, 513));
        assert_eq!(length, theirs.len());
        assert_eq!(
            class_and_method(frame.payload),
            (class.get_amqp_class_id(), class.get_amqp_method_id())
        );
        assert_eq!(parse(frame.payload).map(as_class), Ok(class));
    }
}

#[test]
fn every_method_refuses_every_truncation_and_a_trailing_octet() {
    for class in every_method() {
        let payload = payload_of(&class);
        let (class_id, method) = class_and_method(&payload);
        for end in 0..payload.len() {
            let (class, method) = if end < 4 { (0, 0) } else { (class_id, method) };
            assert_eq!(
                parse(&payload[..end]),
                Err(MethodError::Malformed { class, method }),
                "{end}"
            );
        }
        let long = [payload.as_slice(), &[0]].concat();
        let malformed = MethodError::Malformed {
            class: class_id,
            method,
        };
        assert_eq!(parse(&long), Err(malformed), "{class:?}");
    }
}

#[test]
fn publish_is_read_from_its_golden_octets() {
    let payload = b"\x00\x3c\x00\x28\x00\x00\x09amq.topic\x03a.b\x03";
    assert_eq!(
        parse(payload),
        Ok(Method::Publish(Publish {
            exchange: "amq.topic",
            routing_key: "a.b",
            mandatory: true,
            immediate: true,
        }))
    );
}

#[test]
fn deliver_is_read_from_its_golden_octets() {
    let payload = b"\x00\x3c\x00\x3c\x02ct\x00\x00\x00\x00\x00\x00\x00\x09\x01\x01x\x01k";
    assert_eq!(
        parse_deliver(payload),
        Some(Deliver {
            consumer_tag: "ct",
            delivery_tag: 9,
            redelivered: true,
            exchange: "x",
            routing_key: "k",
        })
    );
    assert_eq!(parse_deliver(&payload[..payload.len() - 1]), None);
}

#[test]
fn an_unknown_method_is_told_from_a_malformed_one() {
    let unknown = MethodError::UnknownClassOrMethod {
        class: 60,
        method: 41,
    };
    assert_eq!(parse(&[0, 60, 0, 41, 1, 2, 3]), Err(unknown));
    assert_eq!(unknown.code(), ReplyCode::NotImplemented);
    let malformed = MethodError::Malformed {
        class: 60,
        method: 40,
    };
    assert_eq!(parse(&[0, 60, 0, 40]), Err(malformed));
    assert_eq!(malformed.code(), ReplyCode::FrameError);
    assert_eq!(
        malformed.text(),
        "cannot decode the arguments of basic.publish"
    );
}

#[test]
fn a_short_string_that_is_not_utf8_is_told_from_octets_that_are_missing() {
    let publish = b"\x00\x3c\x00\x28\x00\x00\x02\xc3\x28\x00\x00";
    assert!(matches!(parse(publish), Err(MethodError::Malformed { .. })));
    let declare = b"\x00\x32\x00\x0a\x00\x00\x02\xc3\x28\x00\x00\x00\x00\x00";
    assert_eq!(parse(declare), Err(MethodError::NotText));
    assert_eq!(MethodError::NotText.class_and_method(), (0, 0));
    let short = &declare[..declare.len() - 1];
    assert!(matches!(parse(short), Err(MethodError::Malformed { .. })));
}

#[test]
fn a_table_nested_too_deep_is_malformed_before_it_is_parsed() {
    // queue.declare with a table of arrays, each in the last: as deep as a frame allows.
    let mut inner = Vec::new();
    for _ in 0..20_000 {
        let mut outer = vec![b'A'];
        outer.extend_from_slice(&(inner.len() as u32).to_be_bytes());
        inner.splice(0..0, outer);
    }
    let mut payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00".to_vec();
    payload.extend_from_slice(&(inner.len() as u32 + 2).to_be_bytes());
    payload.extend_from_slice(b"\x01a");
    payload.extend_from_slice(&inner);
    assert_eq!(
        parse(&payload),
        Err(MethodError::Malformed {
            class: 50,
            method: 10
        })
    );
}
