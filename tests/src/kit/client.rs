//! Short words for what tests do with a client, over lapin.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_core::Stream;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties, ErrorKind, Event};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::DEADLINE;

/// What a broker says when it closes a channel or a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: u16,
    pub text: String,
}

impl Refused {
    #[track_caller]
    pub fn from(error: lapin::Error) -> Refused {
        match error.kind() {
            ErrorKind::ProtocolError(error) => Refused {
                code: error.get_id(),
                text: error.get_message().to_string(),
            },
            other => panic!("no answer of the broker: {other:?}"),
        }
    }

    #[track_caller]
    pub fn is(&self, code: u16, text: &str) {
        assert_eq!((self.code, self.text.as_str()), (code, text));
    }
}

impl From<lapin::Error> for Refused {
    fn from(error: lapin::Error) -> Refused {
        Refused::from(error)
    }
}

pub fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    }
}

pub fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

pub fn transient() -> BasicProperties {
    BasicProperties::default()
}

/// A table of texts.
pub fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    table
}

type Events = Mutex<Pin<Box<dyn Stream<Item = Event> + Send>>>;

#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
    events: Arc<Events>,
}

impl Deref for Client {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Client {
    pub async fn connect(url: &str) -> Client {
        match Self::try_connect(url).await {
            Ok(client) => client,
            Err(error) => panic!("no connection to {url}: {error}"),
        }
    }

    pub async fn try_connect(url: &str) -> lapin::Result<Client> {
        let connecting = Connection::connect(url, ConnectionProperties::default());
        let connection = timeout(DEADLINE, connecting).await;
        let connection = connection.expect("an answer to connecting in time")?;
        let events: Pin<Box<dyn Stream<Item = Event> + Send>> =
            Box::pin(connection.events_listener());
        Ok(Client {
            connection: Arc::new(connection),
            events: Arc::new(Mutex::new(events)),
        })
    }

    /// What happened to this connection, or to one of its channels, next.
    pub async fn event(&self) -> Event {
        let mut events = self.events.lock().await;
        let next = poll_fn(|context| events.as_mut().poll_next(context));
        let next = timeout(DEADLINE, next).await;
        next.expect("an event in time")
            .expect("the connection is there")
    }

    /// The next refusal that closes this connection or one of its channels.
    pub async fn refusal(&self) -> Refused {
        loop {
            if let Event::Error(error) = self.event().await {
                return error.into();
            }
        }
    }

    pub async fn channel(&self) -> Channel {
        let channel = self.connection.create_channel().await.expect("a channel");
        Channel {
            channel,
            client: self.clone(),
        }
    }

    /// A channel in confirm mode.
    pub async fn confirming(&self) -> Channel {
        let channel = self.channel().await;
        channel.confirm().await;
        channel
    }
}

#[derive(Clone)]
pub struct Channel {
    channel: lapin::Channel,
    /// Keeps the connection open.
    pub client: Client,
}

impl Deref for Channel {
    type Target = lapin::Channel;

    fn deref(&self) -> &lapin::Channel {
        &self.channel
    }
}

fn short(text: &str) -> ShortString {
    text.into()
}

impl Channel {
    pub async fn confirm(&self) {
        let options = ConfirmSelectOptions::default();
        self.confirm_select(options).await.expect("confirm.select");
    }

    /// Returns the name, which the broker makes up for an empty one.
    pub async fn queue(&self, name: &str, options: QueueDeclareOptions) -> String {
        let declared = self.try_queue(name, options, FieldTable::default()).await;
        declared.expect("queue.declare")
    }

    pub async fn try_queue(
        &self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<String, Refused> {
        let declared = self.queue_declare(short(name), options, arguments).await?;
        Ok(declared.name().to_string())
    }

    /// Messages and consumers of a queue.
    pub async fn counts(&self, queue: &str) -> Result<(u32, u32), Refused> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self.queue_declare(short(queue), options, FieldTable::default());
        let declared = declared.await?;
        Ok((declared.message_count(), declared.consumer_count()))
    }

    /// Messages that are ready.
    pub async fn count(&self, queue: &str) -> u32 {
        self.counts(queue).await.expect("the queue").0
    }

    pub async fn exchange(&self, name: &str, kind: &str, options: ExchangeDeclareOptions) {
        let declared = self.try_exchange(name, kind, options, FieldTable::default());
        declared.await.expect("exchange.declare");
    }

    pub async fn try_exchange(
        &self,
        name: &str,
        kind: &str,
        options: ExchangeDeclareOptions,
        arguments: FieldTable,
    ) -> Result<(), Refused> {
        let kind = lapin::ExchangeKind::Custom(kind.to_owned());
        let declared = self.exchange_declare(short(name), kind, options, arguments);
        Ok(declared.await?)
    }

    /// Whether the broker answers a (passive) declare, however it refuses.
    pub async fn has_exchange(&self, name: &str, options: ExchangeDeclareOptions) -> bool {
        let kind = lapin::ExchangeKind::Direct;
        let declared = self.exchange_declare(short(name), kind, options, FieldTable::default());
        declared.await.is_ok()
    }

    /// The next refusal that closes this channel or its connection.
    pub async fn refusal(&self) -> Refused {
        self.client.refusal().await
    }

    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let bound = self.try_bind(queue, exchange, key, FieldTable::default());
        bound.await.expect("queue.bind");
    }

    pub async fn try_bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Result<(), Refused> {
        let (queue, exchange, key) = (short(queue), short(exchange), short(key));
        let bound = self.queue_bind(queue, exchange, key, QueueBindOptions::default(), arguments);
        Ok(bound.await?)
    }

    /// Publishes without waiting for anything.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        self.publish_as(exchange, key, body, transient()).await;
    }

    pub async fn publish_as(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions::default();
        let (exchange, key) = (short(exchange), short(key));
        let sent = self.basic_publish(exchange, key, options, body, properties);
        // The confirm is for `confirmed`.
        drop(sent.await.expect("basic.publish"));
    }

    /// Publishes on a channel in confirm mode and waits for the answer. What comes back unroutable
    /// comes with it: publishes are mandatory here.
    pub async fn confirmed(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Confirmation {
        let confirmed = self.try_confirmed(exchange, key, body, properties);
        confirmed.await.expect("a confirm")
    }

    pub async fn try_confirmed(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Confirmation, Refused> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let (exchange, key) = (short(exchange), short(key));
        let sent = self.basic_publish(exchange, key, options, body, properties);
        let confirm = timeout(DEADLINE, sent.await?).await;
        Ok(confirm.expect("a confirm in time")?)
    }

    /// Publishes all these persistently, at full speed, on a channel in confirm mode; returns when
    /// each is confirmed.
    pub async fn fill(&self, queue: &str, bodies: impl IntoIterator<Item = Vec<u8>>) {
        let mut confirms = Vec::new();
        for body in bodies {
            let options = BasicPublishOptions::default();
            let (exchange, key) = (short(""), short(queue));
            let sent = self.basic_publish(exchange, key, options, &body, persistent());
            confirms.push(sent.await.expect("basic.publish"));
        }
        for confirm in confirms {
            let confirm = timeout(DEADLINE, confirm).await.expect("a confirm in time");
            assert!(confirm.expect("a confirm").is_ack());
        }
    }

    /// basic.get that leaves the message unacked.
    pub async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: false };
        let got = timeout(DEADLINE, self.basic_get(short(queue), options)).await;
        got.expect("an answer in time").expect("basic.get")
    }

    /// Takes one message for good; its body.
    pub async fn take(&self, queue: &str) -> Option<String> {
        let options = BasicGetOptions { no_ack: true };
        let got = timeout(DEADLINE, self.basic_get(short(queue), options)).await;
        let got = got.expect("an answer in time").expect("basic.get");
        got.map(|message| text(&message.delivery))
    }

    /// The bodies of all that is ready, in order.
    pub async fn drain(&self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Some(body) = self.take(queue).await {
            bodies.push(body);
        }
        bodies
    }

    pub async fn consume(&self, queue: &str) -> Deliveries {
        let options = BasicConsumeOptions::default();
        let consuming = self.try_consume(queue, "", options);
        consuming.await.expect("basic.consume")
    }

    pub async fn consume_no_ack(&self, queue: &str) -> Deliveries {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consuming = self.try_consume(queue, "", options);
        consuming.await.expect("basic.consume")
    }

    pub async fn try_consume(
        &self,
        queue: &str,
        tag: &str,
        options: BasicConsumeOptions,
    ) -> Result<Deliveries, Refused> {
        let arguments = FieldTable::default();
        let consumer = self.basic_consume(short(queue), short(tag), options, arguments);
        Ok(Deliveries(consumer.await?))
    }

    pub async fn try_consume_with(
        &self,
        queue: &str,
        arguments: FieldTable,
    ) -> Result<Deliveries, Refused> {
        let options = BasicConsumeOptions::default();
        let consumer = self.basic_consume(short(queue), short(""), options, arguments);
        Ok(Deliveries(consumer.await?))
    }

    pub async fn prefetch(&self, count: u16, global: bool) {
        let set = self.basic_qos(count, BasicQosOptions { global });
        set.await.expect("basic.qos");
    }

    pub async fn ack(&self, tag: u64, multiple: bool) {
        let acked = self.basic_ack(tag, BasicAckOptions { multiple });
        acked.await.expect("basic.ack");
    }

    pub async fn requeue(&self, tag: u64, multiple: bool) {
        let options = BasicNackOptions {
            multiple,
            requeue: true,
        };
        self.basic_nack(tag, options).await.expect("basic.nack");
    }

    /// After this, what the broker did for earlier methods of this channel is done, and what it sent
    /// because of them has been read.
    pub async fn fence(&self) {
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        self.exchange("amq.direct", "direct", passive).await;
    }

    pub async fn close_it(&self) {
        let closed = self.channel.close(200, short("done")).await;
        closed.expect("channel.close");
    }
}

/// The body as text.
pub fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.data).into_owned()
}

/// What one consumer is sent.
pub struct Deliveries(lapin::Consumer);

impl Deliveries {
    pub fn tag(&self) -> String {
        self.0.tag().to_string()
    }

    /// None when the broker cancelled the consumer.
    pub async fn next_or_end(&mut self) -> Option<Delivery> {
        let next = poll_fn(|context| Pin::new(&mut self.0).poll_next(context));
        let next = timeout(DEADLINE, next).await.expect("a delivery in time");
        next.map(|delivery| delivery.expect("a delivery"))
    }

    pub async fn next(&mut self) -> Delivery {
        self.next_or_end().await.expect("the consumer goes on")
    }

    pub async fn next_text(&mut self) -> String {
        text(&self.next().await)
    }

    pub async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.next_text().await);
        }
        texts
    }

    /// What has already arrived. Comes after a `fence`.
    pub async fn arrived(&mut self) -> Vec<Delivery> {
        let mut arrived = Vec::new();
        loop {
            let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut self.0).poll_next(context)));
            match polled.await {
                Poll::Ready(Some(delivery)) => arrived.push(delivery.expect("a delivery")),
                Poll::Ready(None) | Poll::Pending => return arrived,
            }
        }
    }
}
