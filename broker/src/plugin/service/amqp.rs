//! AMQP for services: the client of `crate::client` behind the imports, and what was granted.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::Resource;

use super::bindings::warren::service::amqp::{
    self, BindOptions, Changes as WireChanges, Confirms, Consuming, Delivery as WireDelivery,
    Error, ExchangeOptions, Header, Opening, QueueFacts, QueueOptions, Refusal,
};
use super::instance::ServiceState;
use crate::amqp::{basic, exchange, queue, short_string};
use crate::client::{
    Address, Batch, Changes, Client, ClientError, Delivery, Options, Uri, checked_arguments,
    checked_name,
};

/// A handle that the component has. The broker's own word for how long to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Of RabbitMQ's own client.
const HEARTBEAT: u16 = 10;

pub struct Connection {
    client: Arc<Client>,
}

pub struct HeldBatch(Arc<Batch>);

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Error {
        match error {
            ClientError::Refused { code, text } => Error::Refused(Refusal { code, text }),
            ClientError::Lost(text) => Error::Lost(text),
            ClientError::Invalid(text) => Error::Invalid(text),
        }
    }
}

impl ServiceState {
    fn client(&mut self, connection: &Resource<Connection>) -> wasmtime::Result<Arc<Client>> {
        self.called();
        Ok(Arc::clone(&self.table.get(connection)?.client))
    }

    fn batch(&mut self, batch: &Resource<HeldBatch>) -> wasmtime::Result<Arc<Batch>> {
        self.called();
        Ok(Arc::clone(&self.table.get(batch)?.0))
    }

    async fn asked<T>(
        &mut self,
        wait: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Error> {
        match self.unless_stopping(wait).await {
            Some(waited) => waited.map_err(Error::from),
            None => Err(Error::Stopping),
        }
    }

    async fn open(&mut self, opening: &Opening) -> Result<Client, Error> {
        let uri = Uri::parse(&opening.uri).map_err(|error| Error::Invalid(error.0))?;
        let allowed = self.loaded.grants.allow(&uri.address);
        allowed.map_err(Error::Denied)?;
        let options = Options {
            user: uri.user.clone(),
            password: uri.password.clone(),
            by_certificate: uri.by_certificate,
            vhost: uri.vhost.clone(),
            name: opening.name.clone(),
            task: match (&uri.address, &self.task) {
                (Address::Local, Some(task)) => Some(task.name.clone()),
                (_, _) => None,
            },
            heartbeat: uri.heartbeat.unwrap_or(HEARTBEAT),
            confirms: opening.confirms,
        };
        let dial = Arc::clone(&self.surroundings.dial);
        let limit = uri.connection_timeout.map(Duration::from_millis);
        let connect = async {
            let limit = limit.unwrap_or(CONNECT_TIMEOUT);
            let dialled = tokio::time::timeout(limit, dial.dial(&uri)).await;
            let stream = match dialled {
                Ok(dialled) => dialled.map_err(ClientError::Lost)?,
                Err(_) => return Err(ClientError::Lost("timeout".to_owned())),
            };
            Client::open(stream, &options).await
        };
        self.asked(connect).await
    }
}

impl amqp::HostBatch for ServiceState {
    fn length(&mut self, batch: Resource<HeldBatch>) -> wasmtime::Result<u32> {
        let length = self.batch(&batch)?.len();
        Ok(u32::try_from(length).unwrap_or(u32::MAX))
    }

    fn last_tag(&mut self, batch: Resource<HeldBatch>) -> wasmtime::Result<u64> {
        Ok(self.batch(&batch)?.last_tag())
    }

    fn delivery(
        &mut self,
        batch: Resource<HeldBatch>,
        index: u32,
    ) -> wasmtime::Result<Option<WireDelivery>> {
        let batch = self.batch(&batch)?;
        let delivery = batch.delivery(index as usize);
        Ok(delivery.map(|delivery| WireDelivery {
            tag: delivery.tag,
            redelivered: delivery.redelivered,
            exchange: delivery.exchange.to_owned(),
            routing_key: delivery.routing_key.to_owned(),
            properties: delivery.properties.to_vec(),
            body_length: delivery.body.len() as u64,
        }))
    }

    fn body(&mut self, batch: Resource<HeldBatch>, index: u32) -> wasmtime::Result<Vec<u8>> {
        let batch = self.batch(&batch)?;
        let delivery = batch.delivery(index as usize);
        Ok(delivery.map_or_else(Vec::new, |delivery| delivery.body.to_vec()))
    }

    fn drop(&mut self, batch: Resource<HeldBatch>) -> wasmtime::Result<()> {
        self.table.delete(batch)?;
        Ok(())
    }
}

impl amqp::HostConnection for ServiceState {
    async fn open(&mut self, opening: Opening) -> Answer<Resource<Connection>> {
        self.called();
        let client = match ServiceState::open(self, &opening).await {
            Ok(client) => Arc::new(client),
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(self.table.push(Connection { client })?))
    }

    fn server_properties(&mut self, this: Resource<Connection>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.client(&this)?.server_properties().to_vec())
    }

    async fn declare_queue(
        &mut self,
        this: Resource<Connection>,
        queue: QueueOptions,
    ) -> Answer<QueueFacts> {
        let client = self.client(&this)?;
        let declared = self.asked(async {
            client
                .declare_queue(queue::Declare {
                    queue: checked_name(&queue.name)?,
                    passive: queue.passive,
                    durable: queue.durable,
                    exclusive: queue.exclusive,
                    auto_delete: queue.auto_delete,
                    nowait: false,
                    arguments: checked_arguments(&queue.arguments)?,
                })
                .await
        });
        Ok(declared.await.map(|facts| QueueFacts {
            name: facts.name,
            messages: facts.messages,
            consumers: facts.consumers,
        }))
    }

    async fn declare_exchange(
        &mut self,
        this: Resource<Connection>,
        exchange: ExchangeOptions,
    ) -> Answer<()> {
        let client = self.client(&this)?;
        let declared = self.asked(async {
            client
                .declare_exchange(exchange::Declare {
                    exchange: checked_name(&exchange.name)?,
                    kind: checked_name(&exchange.type_name)?,
                    passive: exchange.passive,
                    durable: exchange.durable,
                    auto_delete: exchange.auto_delete,
                    internal: exchange.internal,
                    nowait: false,
                    arguments: checked_arguments(&exchange.arguments)?,
                })
                .await
        });
        Ok(declared.await)
    }

    async fn bind(&mut self, this: Resource<Connection>, binding: BindOptions) -> Answer<()> {
        let client = self.client(&this)?;
        Ok(self.asked(bind(&client, &binding)).await)
    }

    async fn unbind(&mut self, this: Resource<Connection>, binding: BindOptions) -> Answer<()> {
        let client = self.client(&this)?;
        Ok(self.asked(unbind(&client, &binding)).await)
    }

    async fn delete_queue(&mut self, this: Resource<Connection>, name: String) -> Answer<()> {
        let client = self.client(&this)?;
        Ok(self.asked(client.delete_queue(&name)).await)
    }

    async fn delete_exchange(&mut self, this: Resource<Connection>, name: String) -> Answer<()> {
        let client = self.client(&this)?;
        Ok(self.asked(client.delete_exchange(&name)).await)
    }

    async fn consume(
        &mut self,
        this: Resource<Connection>,
        consuming: Consuming,
    ) -> Answer<String> {
        let client = self.client(&this)?;
        let consumed = self.asked(async {
            let consume = basic::Consume {
                queue: checked_name(&consuming.queue)?,
                consumer_tag: checked_name(&consuming.consumer_tag)?,
                no_local: false,
                no_ack: consuming.no_ack,
                exclusive: consuming.exclusive,
                nowait: false,
                arguments: checked_arguments(&consuming.arguments)?,
            };
            client.consume(consuming.prefetch, consume).await
        });
        Ok(consumed.await)
    }

    async fn cancel(&mut self, this: Resource<Connection>, consumer_tag: String) -> Answer<()> {
        let client = self.client(&this)?;
        Ok(self.asked(client.cancel(&consumer_tag)).await)
    }

    fn receive(
        &mut self,
        this: Resource<Connection>,
        most: u32,
    ) -> Answer<Option<Resource<HeldBatch>>> {
        let client = self.client(&this)?;
        match client.receive(most as usize) {
            Ok(None) => Ok(Ok(None)),
            Ok(Some(batch)) => Ok(Ok(Some(self.table.push(HeldBatch(Arc::new(batch)))?))),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn ack(&mut self, this: Resource<Connection>, tag: u64, multiple: bool) -> Answer<()> {
        Ok(self.client(&this)?.ack(tag, multiple).map_err(Error::from))
    }

    fn nack(
        &mut self,
        this: Resource<Connection>,
        tag: u64,
        multiple: bool,
        requeue: bool,
    ) -> Answer<()> {
        let nacked = self.client(&this)?.nack(tag, multiple, requeue);
        Ok(nacked.map_err(Error::from))
    }

    async fn forward(
        &mut self,
        this: Resource<Connection>,
        batch: Resource<HeldBatch>,
        first: u32,
        count: u32,
        changes: WireChanges,
    ) -> Answer<u64> {
        let (client, batch) = (self.client(&this)?, self.batch(&batch)?);
        if let Err(error) = self.room(&client).await {
            return Ok(Err(error));
        }
        let changes = Changes {
            exchange: changes.exchange,
            routing_key: changes.routing_key,
            properties: changes.properties,
            set_properties: changes.set_properties,
            set_headers: headers(changes.set_headers),
            prepend_headers: headers(changes.prepend_headers),
        };
        let forwarded = client.forward(&batch, first as usize, count as usize, &changes);
        Ok(forwarded.map_err(Error::from))
    }

    async fn publish(
        &mut self,
        this: Resource<Connection>,
        exchange: String,
        routing_key: String,
        properties: Vec<u8>,
        body: Vec<u8>,
    ) -> Answer<u64> {
        let client = self.client(&this)?;
        if let Err(error) = self.room(&client).await {
            return Ok(Err(error));
        }
        let published = client.publish(&Delivery {
            tag: 0,
            redelivered: false,
            exchange: &exchange,
            routing_key: &routing_key,
            properties: &properties,
            body: &body,
        });
        Ok(published.map_err(Error::from))
    }

    fn confirmed(&mut self, this: Resource<Connection>) -> Answer<Confirms> {
        let confirmed = self.client(&this)?.confirmed();
        Ok(confirmed.map_err(Error::from).map(|confirms| Confirms {
            upto: confirms.upto,
            failed: confirms.failed,
        }))
    }

    fn blocked(&mut self, this: Resource<Connection>) -> wasmtime::Result<Option<String>> {
        Ok(self.client(&this)?.blocked())
    }

    async fn close(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.client(&this)?.close().await;
        self.called();
        Ok(())
    }

    fn drop(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl ServiceState {
    /// Returns once there is room to publish.
    async fn room(&mut self, client: &Arc<Client>) -> Result<(), Error> {
        if !client.is_behind() {
            return Ok(());
        }
        if let Some(task) = &self.task {
            task.impeded(true, client.blocked());
        }
        let client = Arc::clone(client);
        let room = async move {
            client.has_room().await;
            Ok(())
        };
        let room = self.asked(room).await;
        if let Some(task) = &self.task {
            task.impeded(false, None);
        }
        room
    }
}

impl amqp::Host for ServiceState {
    fn check_uri(&mut self, uri: String) -> wasmtime::Result<Result<(), String>> {
        self.called();
        let parsed = match Uri::parse(&uri) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error.0)),
        };
        if parsed.address == Address::Local {
            self.local_vhosts.push(parsed.vhost);
        }
        Ok(Ok(()))
    }

    async fn wait(
        &mut self,
        connections: Vec<Resource<Connection>>,
        milliseconds: u64,
    ) -> Answer<()> {
        let clients: wasmtime::Result<Vec<_>> = connections
            .iter()
            .map(|connection| self.client(connection))
            .collect();
        let clients = clients?;
        let Some(task) = self.task.clone() else {
            return Ok(Err(Error::Stopping));
        };
        if task.stopping().is_some() {
            return Ok(Err(Error::Stopping));
        }
        if clients.iter().any(|client| client.has_news()) {
            // Others have their turn, too.
            tokio::task::yield_now().await;
            return Ok(Ok(()));
        }
        task.impeded(false, clients.iter().find_map(|client| client.blocked()));
        let sleep = tokio::time::sleep(Duration::from_millis(milliseconds));
        let waited = tokio::select! {
            () = any_news(&clients) => Ok(()),
            _ = self.changes.changed() => Ok(()),
            () = sleep => Ok(()),
            _ = task.stopped() => Err(Error::Stopping),
        };
        self.called();
        Ok(waited)
    }
}

/// Returns once one of these has news.
async fn any_news(clients: &[Arc<Client>]) {
    type Changed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    let mut waits: Vec<Changed<'_>> = Vec::with_capacity(clients.len());
    for client in clients {
        waits.push(Box::pin(async move {
            while !client.has_news() {
                client.changed().await;
            }
        }));
    }
    poll_fn(|context| {
        let mut ready = false;
        for wait in &mut waits {
            ready |= wait.as_mut().poll(context).is_ready();
        }
        match ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

async fn bind(client: &Client, binding: &BindOptions) -> Result<(), ClientError> {
    let destination = checked_name(&binding.destination)?;
    let source = checked_name(&binding.source)?;
    let routing_key = checked_name(&binding.routing_key)?;
    let arguments = checked_arguments(&binding.arguments)?;
    if binding.is_exchange {
        let bind = exchange::Bind {
            destination,
            source,
            routing_key,
            nowait: false,
            arguments,
        };
        return client.bind_exchange(bind).await;
    }
    let bind = queue::Bind {
        queue: destination,
        exchange: source,
        routing_key,
        nowait: false,
        arguments,
    };
    client.bind_queue(bind).await
}

async fn unbind(client: &Client, binding: &BindOptions) -> Result<(), ClientError> {
    let destination = checked_name(&binding.destination)?;
    let source = checked_name(&binding.source)?;
    let routing_key = checked_name(&binding.routing_key)?;
    let arguments = checked_arguments(&binding.arguments)?;
    if binding.is_exchange {
        let unbind = exchange::Unbind {
            destination,
            source,
            routing_key,
            nowait: false,
            arguments,
        };
        return client.unbind_exchange(unbind).await;
    }
    let unbind = queue::Unbind {
        queue: destination,
        exchange: source,
        routing_key,
        arguments,
    };
    client.unbind_queue(unbind).await
}

fn headers(headers: Vec<Header>) -> Vec<(String, Vec<u8>)> {
    let headers = headers.into_iter();
    headers
        .map(|header| (short_string(&header.name).to_string(), header.value))
        .collect()
}
