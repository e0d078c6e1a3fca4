//! One of every method, with arguments that are not all zero. For tests.

use super::{
    AMQPClass, AMQPValue, FieldArray, FieldTable, access, basic, channel, confirm, connection,
    exchange, queue, tx,
};

fn table() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("n".into(), AMQPValue::LongLongInt(-7));
    let mut table = FieldTable::default();
    table.insert("x-match".into(), AMQPValue::LongString("any".into()));
    table.insert("inner".into(), AMQPValue::FieldTable(inner));
    table.insert(
        "list".into(),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void])),
    );
    table
}

fn basic_samples() -> Vec<AMQPClass> {
    use basic::AMQPMethod::*;
    [
        Qos(basic::Qos {
            prefetch_count: 300,
            global: true,
        }),
        QosOk(basic::QosOk {}),
        Consume(basic::Consume {
            queue: "q".into(),
            consumer_tag: "tag".into(),
            no_local: false,
            no_ack: true,
            exclusive: false,
            nowait: true,
            arguments: table(),
        }),
        ConsumeOk(basic::ConsumeOk {
            consumer_tag: "tag".into(),
        }),
        Cancel(basic::Cancel {
            consumer_tag: "tag".into(),
            nowait: true,
        }),
        CancelOk(basic::CancelOk {
            consumer_tag: "tag".into(),
        }),
    ]
    .map(AMQPClass::Basic)
    .to_vec()
}

fn message_samples() -> Vec<AMQPClass> {
    use basic::AMQPMethod::*;
    [
        Publish(basic::Publish {
            exchange: "x".into(),
            routing_key: "a.b".into(),
            mandatory: true,
            immediate: false,
        }),
        Return(basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: "x".into(),
            routing_key: "a.b".into(),
        }),
        Deliver(basic::Deliver {
            consumer_tag: "tag".into(),
            delivery_tag: 1 << 40,
            redelivered: true,
            exchange: "x".into(),
            routing_key: "a.b".into(),
        }),
        Get(basic::Get {
            queue: "q".into(),
            no_ack: true,
        }),
        GetOk(basic::GetOk {
            delivery_tag: 9,
            redelivered: false,
            exchange: "x".into(),
            routing_key: "a.b".into(),
            message_count: 70_000,
        }),
        GetEmpty(basic::GetEmpty {}),
        Ack(basic::Ack {
            delivery_tag: 9,
            multiple: true,
        }),
        Reject(basic::Reject {
            delivery_tag: 9,
            requeue: true,
        }),
        RecoverAsync(basic::RecoverAsync { requeue: true }),
        Recover(basic::Recover { requeue: true }),
        RecoverOk(basic::RecoverOk {}),
        Nack(basic::Nack {
            delivery_tag: 9,
            multiple: false,
            requeue: true,
        }),
    ]
    .map(AMQPClass::Basic)
    .to_vec()
}

fn connection_samples() -> Vec<AMQPClass> {
    use connection::AMQPMethod::*;
    [
        Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: table(),
            mechanisms: "PLAIN AMQPLAIN".into(),
            locales: "en_US".into(),
        }),
        StartOk(connection::StartOk {
            client_properties: table(),
            mechanism: "PLAIN".into(),
            response: "\0guest\0guest".into(),
            locale: "en_US".into(),
        }),
        Secure(connection::Secure {
            challenge: "c".into(),
        }),
        SecureOk(connection::SecureOk {
            response: "r".into(),
        }),
        Tune(connection::Tune {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        }),
        TuneOk(connection::TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        }),
        Open(connection::Open {
            virtual_host: "/".into(),
        }),
        OpenOk(connection::OpenOk {}),
        Close(connection::Close {
            reply_code: 320,
            reply_text: "CONNECTION_FORCED - bye".into(),
            class_id: 60,
            method_id: 40,
        }),
        CloseOk(connection::CloseOk {}),
        Blocked(connection::Blocked {
            reason: "low on memory".into(),
        }),
        Unblocked(connection::Unblocked {}),
        UpdateSecret(connection::UpdateSecret {
            new_secret: "s".into(),
            reason: "r".into(),
        }),
        UpdateSecretOk(connection::UpdateSecretOk {}),
    ]
    .map(AMQPClass::Connection)
    .to_vec()
}

fn channel_samples() -> Vec<AMQPClass> {
    use channel::AMQPMethod::*;
    [
        Open(channel::Open {}),
        OpenOk(channel::OpenOk {}),
        Flow(channel::Flow { active: true }),
        FlowOk(channel::FlowOk { active: true }),
        Close(channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no queue 'q' in vhost '/'".into(),
            class_id: 60,
            method_id: 20,
        }),
        CloseOk(channel::CloseOk {}),
    ]
    .map(AMQPClass::Channel)
    .to_vec()
}

fn exchange_samples() -> Vec<AMQPClass> {
    use exchange::AMQPMethod::*;
    [
        Declare(exchange::Declare {
            exchange: "x".into(),
            kind: "topic".into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: true,
            nowait: false,
            arguments: table(),
        }),
        DeclareOk(exchange::DeclareOk {}),
        Delete(exchange::Delete {
            exchange: "x".into(),
            if_unused: true,
            nowait: true,
        }),
        DeleteOk(exchange::DeleteOk {}),
        Bind(exchange::Bind {
            destination: "d".into(),
            source: "s".into(),
            routing_key: "k".into(),
            nowait: true,
            arguments: table(),
        }),
        BindOk(exchange::BindOk {}),
        Unbind(exchange::Unbind {
            destination: "d".into(),
            source: "s".into(),
            routing_key: "k".into(),
            nowait: false,
            arguments: table(),
        }),
        UnbindOk(exchange::UnbindOk {}),
    ]
    .map(AMQPClass::Exchange)
    .to_vec()
}

fn queue_samples() -> Vec<AMQPClass> {
    use queue::AMQPMethod::*;
    [
        Declare(queue::Declare {
            queue: "q".into(),
            passive: true,
            durable: false,
            exclusive: true,
            auto_delete: false,
            nowait: true,
            arguments: table(),
        }),
        DeclareOk(queue::DeclareOk {
            queue: "q".into(),
            message_count: 1,
            consumer_count: 2,
        }),
        Bind(queue::Bind {
            queue: "q".into(),
            exchange: "x".into(),
            routing_key: "k".into(),
            nowait: true,
            arguments: table(),
        }),
        BindOk(queue::BindOk {}),
        Purge(queue::Purge {
            queue: "q".into(),
            nowait: true,
        }),
        PurgeOk(queue::PurgeOk { message_count: 3 }),
        Delete(queue::Delete {
            queue: "q".into(),
            if_unused: true,
            if_empty: false,
            nowait: true,
        }),
        DeleteOk(queue::DeleteOk { message_count: 4 }),
        Unbind(queue::Unbind {
            queue: "q".into(),
            exchange: "x".into(),
            routing_key: "k".into(),
            arguments: table(),
        }),
        UnbindOk(queue::UnbindOk {}),
    ]
    .map(AMQPClass::Queue)
    .to_vec()
}

fn other_samples() -> Vec<AMQPClass> {
    vec![
        AMQPClass::Access(access::AMQPMethod::Request(access::Request {
            realm: "/data".into(),
            exclusive: false,
            passive: true,
            active: true,
            write: true,
            read: true,
        })),
        AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {})),
        AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select {
            nowait: true,
        })),
        AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {})),
        AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})),
        AMQPClass::Tx(tx::AMQPMethod::SelectOk(tx::SelectOk {})),
        AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})),
        AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {})),
        AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})),
        AMQPClass::Tx(tx::AMQPMethod::RollbackOk(tx::RollbackOk {})),
    ]
}

pub(crate) fn every_method() -> Vec<AMQPClass> {
    [
        basic_samples(),
        message_samples(),
        connection_samples(),
        channel_samples(),
        exchange_samples(),
        queue_samples(),
        other_samples(),
    ]
    .concat()
}
