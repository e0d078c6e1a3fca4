//! Writes frames into a buffer. What every message passes through is written by hand in one
//! reservation; the other methods go through amq-protocol.

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::{AMQPClass, gen_class};
use amq_protocol::types::generation::SerializeFn;

use super::frame::{FRAME_END, FRAME_OVERHEAD, FrameKind};
use super::{cut_short, properties};

const BASIC: u16 = 60;

/// What a content header holds beside the properties: class, weight, body size.
const CONTENT_HEADER: usize = 12;

/// Octets of a generator. Writing into memory does not fail; if it did, nothing would be written.
pub(crate) fn generate(generator: impl SerializeFn<Vec<u8>>) -> Vec<u8> {
    generator(WriteContext::from(Vec::new()))
        .map(|written| written.into_inner().0)
        .unwrap_or_default()
}

/// Any method. Short strings in it must come from [`super::short_string`] or from the wire.
pub fn method(out: &mut Vec<u8>, channel: u16, class: AMQPClass) {
    let payload = generate(gen_class(&class));
    out.reserve(payload.len() + FRAME_OVERHEAD);
    frame(out, FrameKind::Method, channel, &payload);
}

pub fn heartbeat(out: &mut Vec<u8>) {
    frame(out, FrameKind::Heartbeat, 0, &[]);
}

pub fn ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    tag_and_bits(out, channel, 80, delivery_tag, u8::from(multiple));
}

pub fn nack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) {
    let bits = u8::from(multiple) | u8::from(requeue) << 1;
    tag_and_bits(out, channel, 120, delivery_tag, bits);
}

/// basic.deliver with its content, the body cut to `frame_max` (0 is no limit).
#[expect(clippy::too_many_arguments, reason = "they are the method's own")]
#[inline]
pub fn deliver(
    out: &mut Vec<u8>,
    frame_max: u32,
    channel: u16,
    consumer_tag: &str,
    delivery_tag: u64,
    redelivered: bool,
    exchange: &str,
    routing_key: &str,
    properties: &[u8],
    body: &[u8],
) {
    let (tag, exchange, key) = (
        cut_short(consumer_tag),
        cut_short(exchange),
        cut_short(routing_key),
    );
    let arguments = 1 + tag.len() + 8 + 1 + 1 + exchange.len() + 1 + key.len();
    reserve(out, frame_max, arguments, properties, body);
    method_head(out, channel, 60, arguments);
    push_short_str(out, tag);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(u8::from(redelivered));
    push_short_str(out, exchange);
    push_short_str(out, key);
    out.push(FRAME_END);
    content(out, frame_max, channel, properties, body);
}

#[expect(clippy::too_many_arguments, reason = "they are the method's own")]
pub fn get_ok(
    out: &mut Vec<u8>,
    frame_max: u32,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    exchange: &str,
    routing_key: &str,
    message_count: u32,
    properties: &[u8],
    body: &[u8],
) {
    let (exchange, key) = (cut_short(exchange), cut_short(routing_key));
    let arguments = 8 + 1 + 1 + exchange.len() + 1 + key.len() + 4;
    reserve(out, frame_max, arguments, properties, body);
    method_head(out, channel, 71, arguments);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(u8::from(redelivered));
    push_short_str(out, exchange);
    push_short_str(out, key);
    out.extend_from_slice(&message_count.to_be_bytes());
    out.push(FRAME_END);
    content(out, frame_max, channel, properties, body);
}

#[expect(clippy::too_many_arguments, reason = "they are the method's own")]
pub fn basic_return(
    out: &mut Vec<u8>,
    frame_max: u32,
    channel: u16,
    code: u16,
    text: &str,
    exchange: &str,
    routing_key: &str,
    properties: &[u8],
    body: &[u8],
) {
    let (text, exchange, key) = (cut_short(text), cut_short(exchange), cut_short(routing_key));
    let arguments = 2 + 1 + text.len() + 1 + exchange.len() + 1 + key.len();
    reserve(out, frame_max, arguments, properties, body);
    method_head(out, channel, 50, arguments);
    out.extend_from_slice(&code.to_be_bytes());
    push_short_str(out, text);
    push_short_str(out, exchange);
    push_short_str(out, key);
    out.push(FRAME_END);
    content(out, frame_max, channel, properties, body);
}

/// The client's side: basic.publish with its content.
#[expect(clippy::too_many_arguments, reason = "they are the method's own")]
pub fn publish(
    out: &mut Vec<u8>,
    frame_max: u32,
    channel: u16,
    exchange: &str,
    routing_key: &str,
    mandatory: bool,
    properties: &[u8],
    body: &[u8],
) {
    let (exchange, key) = (cut_short(exchange), cut_short(routing_key));
    let arguments = 2 + 1 + exchange.len() + 1 + key.len() + 1;
    reserve(out, frame_max, arguments, properties, body);
    method_head(out, channel, 40, arguments);
    out.extend_from_slice(&[0, 0]);
    push_short_str(out, exchange);
    push_short_str(out, key);
    out.push(u8::from(mandatory));
    out.push(FRAME_END);
    content(out, frame_max, channel, properties, body);
}

/// Cut at 255 octets.
#[inline]
pub(crate) fn push_short_str(out: &mut Vec<u8>, text: &str) {
    let text = cut_short(text);
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn tag_and_bits(out: &mut Vec<u8>, channel: u16, method: u16, delivery_tag: u64, bits: u8) {
    out.reserve(FRAME_OVERHEAD + 4 + 9);
    method_head(out, channel, method, 9);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.push(bits);
    out.push(FRAME_END);
}

#[inline]
fn reserve(out: &mut Vec<u8>, frame_max: u32, arguments: usize, properties: &[u8], body: &[u8]) {
    let frames = body.len() / chunk(frame_max) + 3;
    out.reserve(
        4 + arguments
            + CONTENT_HEADER
            + 2
            + properties.len()
            + body.len()
            + frames * FRAME_OVERHEAD,
    );
}

/// How much body a frame takes.
#[inline]
fn chunk(frame_max: u32) -> usize {
    match frame_max as usize {
        0 => u32::MAX as usize,
        max => max.saturating_sub(FRAME_OVERHEAD).max(1),
    }
}

#[inline]
fn frame_head(out: &mut Vec<u8>, kind: FrameKind, channel: u16, size: usize) {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    out.extend_from_slice(&[kind.octet(), c1, c0, s3, s2, s1, s0]);
}

#[inline]
fn method_head(out: &mut Vec<u8>, channel: u16, method: u16, arguments: usize) {
    frame_head(out, FrameKind::Method, channel, 4 + arguments);
    let [m1, m0] = method.to_be_bytes();
    out.extend_from_slice(&[0, BASIC as u8, m1, m0]);
}

fn frame(out: &mut Vec<u8>, kind: FrameKind, channel: u16, payload: &[u8]) {
    frame_head(out, kind, channel, payload.len());
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

/// Header and body frames. The header cannot be cut: properties longer than `frame_max` go out
/// whole, as RabbitMQ does it.
#[inline]
fn content(out: &mut Vec<u8>, frame_max: u32, channel: u16, properties: &[u8], body: &[u8]) {
    let properties = properties::or_none(properties);
    frame_head(
        out,
        FrameKind::Header,
        channel,
        CONTENT_HEADER + properties.len(),
    );
    out.extend_from_slice(&[0, BASIC as u8, 0, 0]);
    out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    out.extend_from_slice(properties);
    out.push(FRAME_END);
    for part in body.chunks(chunk(frame_max)) {
        frame(out, FrameKind::Body, channel, part);
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
