//! What the owner of a connection asks the peer for, one method each.

use std::time::Duration;

use super::batch::{Batch, Changes, Delivery};
use super::{CHANNEL, Call, Client, ClientError, OUT_MAX};
use crate::amqp::{
    AMQPClass, FieldTable, SHORT_STRING_MAX, ShortString, basic, connection, exchange, queue,
    short_string, table, write,
};

/// How long a broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long our goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    pub name: String,
    pub messages: u32,
    pub consumers: u32,
}

/// A name that fits AMQP.
pub fn checked_name(text: &str) -> Result<ShortString, ClientError> {
    if text.len() > SHORT_STRING_MAX {
        return Err(ClientError::Invalid(format!(
            "a name of {} octets: AMQP has room for {SHORT_STRING_MAX}",
            text.len()
        )));
    }
    Ok(short_string(text))
}

pub fn checked_arguments(encoded: &[u8]) -> Result<FieldTable, ClientError> {
    table::decode(encoded)
        .map_err(|error| ClientError::Invalid(format!("arguments are no field table: {error}")))
}

fn unexpected(answer: &AMQPClass) -> ClientError {
    ClientError::Lost(format!("unexpected answer of the peer: {answer:?}"))
}

impl Client {
    /// Sends a method and waits for its answer.
    pub(super) async fn call(&self, class: AMQPClass) -> Result<AMQPClass, ClientError> {
        {
            let mut state = self.shared.state.lock();
            state.check()?;
            write::method(&mut state.out, CHANNEL, class);
            state.call = Call::Waiting;
        }
        self.shared.to_driver.notify_one();
        let answered = tokio::time::timeout(TIMEOUT, self.answer()).await;
        match answered {
            Ok(answer) => answer,
            Err(_) => {
                let why = "the peer does not answer".to_owned();
                self.shared.state.lock().fail(why.clone());
                Err(ClientError::Lost(why))
            }
        }
    }

    async fn answer(&self) -> Result<AMQPClass, ClientError> {
        loop {
            {
                let mut state = self.shared.state.lock();
                match std::mem::replace(&mut state.call, Call::None) {
                    Call::Answered(answer) => return Ok(answer),
                    Call::Refused(refused) => return Err(refused),
                    Call::None | Call::Waiting => {}
                }
                if let Some(why) = &state.lost {
                    return Err(ClientError::Lost(why.clone()));
                }
                state.call = Call::Waiting;
            }
            self.changed().await;
        }
    }

    /// Any answer will do.
    async fn ask(&self, class: AMQPClass) -> Result<(), ClientError> {
        self.call(class).await.map(|_| ())
    }

    pub async fn declare_queue(&self, declare: queue::Declare) -> Result<QueueFacts, ClientError> {
        let declare = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        match self.call(declare).await? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(QueueFacts {
                name: ok.queue.to_string(),
                messages: ok.message_count,
                consumers: ok.consumer_count,
            }),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn declare_exchange(&self, declare: exchange::Declare) -> Result<(), ClientError> {
        self.ask(AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)))
            .await
    }

    pub async fn bind_queue(&self, bind: queue::Bind) -> Result<(), ClientError> {
        self.ask(AMQPClass::Queue(queue::AMQPMethod::Bind(bind)))
            .await
    }

    pub async fn unbind_queue(&self, unbind: queue::Unbind) -> Result<(), ClientError> {
        self.ask(AMQPClass::Queue(queue::AMQPMethod::Unbind(unbind)))
            .await
    }

    pub async fn bind_exchange(&self, bind: exchange::Bind) -> Result<(), ClientError> {
        self.ask(AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind)))
            .await
    }

    pub async fn unbind_exchange(&self, unbind: exchange::Unbind) -> Result<(), ClientError> {
        self.ask(AMQPClass::Exchange(exchange::AMQPMethod::Unbind(unbind)))
            .await
    }

    pub async fn delete_queue(&self, name: &str) -> Result<(), ClientError> {
        let delete = queue::Delete {
            queue: checked_name(name)?,
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        self.ask(AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))
            .await
    }

    pub async fn delete_exchange(&self, name: &str) -> Result<(), ClientError> {
        let delete = exchange::Delete {
            exchange: checked_name(name)?,
            if_unused: false,
            nowait: false,
        };
        self.ask(AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)))
            .await
    }

    /// The consumer tag.
    pub async fn consume(
        &self,
        prefetch: u16,
        consume: basic::Consume,
    ) -> Result<String, ClientError> {
        let qos = basic::AMQPMethod::Qos(basic::Qos {
            prefetch_count: prefetch,
            global: false,
        });
        self.ask(AMQPClass::Basic(qos)).await?;
        let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        match self.call(consume).await? {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => Ok(ok.consumer_tag.to_string()),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn cancel(&self, consumer_tag: &str) -> Result<(), ClientError> {
        let cancel = basic::AMQPMethod::Cancel(basic::Cancel {
            consumer_tag: checked_name(consumer_tag)?,
            nowait: false,
        });
        self.ask(AMQPClass::Basic(cancel)).await
    }

    pub fn ack(&self, tag: u64, multiple: bool) -> Result<(), ClientError> {
        self.write(|out| write::ack(out, CHANNEL, tag, multiple))
    }

    pub fn nack(&self, tag: u64, multiple: bool, requeue: bool) -> Result<(), ClientError> {
        self.write(|out| write::nack(out, CHANNEL, tag, multiple, requeue))
    }

    fn write(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ClientError> {
        let mut state = self.shared.state.lock();
        state.check()?;
        write(&mut state.out);
        drop(state);
        self.shared.to_driver.notify_one();
        Ok(())
    }

    /// Publishes some of a batch; the number of the last one. Does not wait (see `has_room`).
    pub fn forward(
        &self,
        batch: &Batch,
        first: usize,
        count: usize,
        changes: &Changes,
    ) -> Result<u64, ClientError> {
        let names = [&changes.exchange, &changes.routing_key];
        for text in names.into_iter().flatten() {
            checked_name(text)?;
        }
        let mut state = self.shared.state.lock();
        state.check()?;
        let frame_max = state.frame_max;
        for message in batch.deliveries(first..first.saturating_add(count)) {
            changes.write(&mut state.out, frame_max, &message);
            state.unconfirmed.publish();
        }
        let last = state.unconfirmed.last();
        drop(state);
        self.shared.to_driver.notify_one();
        Ok(last)
    }

    pub fn publish(&self, message: &Delivery<'_>) -> Result<u64, ClientError> {
        checked_name(message.exchange)?;
        checked_name(message.routing_key)?;
        crate::amqp::properties::decode(message.properties).ok_or_else(|| {
            ClientError::Invalid("the properties are no property list".to_owned())
        })?;
        let mut state = self.shared.state.lock();
        state.check()?;
        let frame_max = state.frame_max;
        Changes::default().write(&mut state.out, frame_max, message);
        let number = state.unconfirmed.publish();
        drop(state);
        self.shared.to_driver.notify_one();
        Ok(number)
    }

    /// Returns once there is room to publish, or nothing to publish on.
    pub async fn has_room(&self) {
        loop {
            {
                let state = self.shared.state.lock();
                if state.out.len() <= OUT_MAX || state.lost.is_some() {
                    return;
                }
            }
            self.changed().await;
        }
    }

    /// Says goodbye, without insisting.
    pub async fn close(&self) {
        {
            let mut state = self.shared.state.lock();
            if state.lost.is_some() || state.closing {
                return;
            }
            state.closing = true;
            let close = connection::AMQPMethod::Close(connection::Close {
                reply_code: 200,
                reply_text: short_string("Goodbye"),
                class_id: 0,
                method_id: 0,
            });
            write::method(&mut state.out, 0, AMQPClass::Connection(close));
        }
        self.shared.to_driver.notify_one();
        let gone = async {
            while self.shared.state.lock().lost.is_none() {
                self.changed().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, gone).await;
    }
}
