//! One TLS connection with lapin: PORT HOST CERTIFICATES AUTHORITY CLIENT (a name, or -).
//! Prints `ok`, or `refused` and why.

use std::error::Error;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, host, folder, authority, client] = arguments.as_slice() else {
        panic!("PORT HOST CERTIFICATES AUTHORITY CLIENT");
    };
    match talk(port, host, folder, authority, client).await {
        Ok(()) => println!("ok"),
        Err(error) => println!("refused {error:?}"),
    }
}

async fn talk(
    port: &str,
    host: &str,
    folder: &str,
    authority: &str,
    client: &str,
) -> Result<(), Box<dyn Error>> {
    let chain = std::fs::read_to_string(format!("{folder}/{authority}.pem"))?;
    let mut config = OwnedTLSConfig {
        identity: None,
        cert_chain: Some(chain),
    };
    let uri = match client {
        "-" => format!("amqps://guest:guest@{host}:{port}/%2f"),
        name => {
            config.identity = Some(OwnedIdentity::PKCS8 {
                pem: std::fs::read(format!("{folder}/{name}.pem"))?,
                key: std::fs::read(format!("{folder}/{name}.key"))?,
            });
            format!("amqps://{host}:{port}/%2f?auth_mechanism=external")
        }
    };
    let runtime = lapin::runtime::default_runtime()?;
    let options = ConnectionProperties::default();
    let connection = Connection::connect_with_config(&uri, options, config, runtime).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let table = FieldTable::default();
    let queue = channel.queue_declare("".into(), exclusive, table).await?;
    let name = queue.name().clone();
    let body = vec![b'w'; 300_000];
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let publish = channel.basic_publish("".into(), name.clone(), options, &body, properties);
    if !publish.await?.await?.is_ack() {
        return Err("not confirmed".into());
    }
    let got = channel.basic_get(name, BasicGetOptions { no_ack: true }).await?;
    if got.is_none_or(|got| got.delivery.data != body) {
        return Err("the message came back different".into());
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}
