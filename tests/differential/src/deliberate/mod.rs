//! The one list of deliberate differences between Warren and the RabbitMQ it is compared with (3.10),
//! each with its reason, each matched as narrowly as it can be.

mod case;
mod deaths;
mod ends;
mod order;
mod refusals;

pub use case::Case;

use crate::compare::SEVERAL_QUEUES;
use crate::observation::Event;

pub struct Deliberate {
    pub name: &'static str,
    pub reason: &'static str,
    pub rule: Rule,
}

pub enum Rule {
    /// Both sides' events become alike.
    Alike(fn(&mut Event)),
    /// RabbitMQ (left) and Warren (right) go different ways here, and the rest of the session says
    /// nothing.
    Parts(fn(&Case<'_>) -> bool),
    /// The generator makes no session that would show it, because it would show only later.
    LeftOut,
}

pub const DELIBERATE: [Deliberate; 21] = [
    Deliberate {
        name: "last death",
        reason: "RabbitMQ 4 adds x-last-death-queue, -reason and -exchange, and so do we; 3.10 does not",
        rule: Rule::Alike(deaths::without_last_death),
    },
    Deliberate {
        name: "unknown exchange type",
        reason: "RabbitMQ 3.13 and later close the channel with 406; 3.10 closes the connection with 503, \
                 and says 'invalid' of names that its runtime happens to know for something else",
        rule: Rule::Parts(refusals::unknown_exchange_type),
    },
    Deliberate {
        name: "delivery mode",
        reason: "RabbitMQ 4 takes whatever is not 2 for transient, and so do we; 3.10 refuses it",
        rule: Rule::Parts(refusals::delivery_mode),
    },
    Deliberate {
        name: "get beside a single active consumer",
        reason: "RabbitMQ 4 refuses it with 405, on classic queues too, and so do we; 3.10 only on \
                 quorum queues",
        rule: Rule::Parts(refusals::get_beside_single_active),
    },
    Deliberate {
        name: "unknown method",
        reason: "RabbitMQ's reader crashes over a class that it does not know and ends the socket; we \
                 close the connection with 540",
        rule: Rule::Parts(refusals::unknown_method),
    },
    Deliberate {
        name: "long body",
        reason: "RabbitMQ does not notice that a body is longer than announced, and waits for what \
                 cannot come; we say so",
        rule: Rule::Parts(refusals::long_body),
    },
    Deliberate {
        name: "malformed text",
        reason: "our exchanges and routing keys are text, so a publish with others is refused with 501; \
                 RabbitMQ takes any octets there, and in no other name",
        rule: Rule::Parts(refusals::malformed_text),
    },
    Deliberate {
        name: "get and channel prefetch",
        reason: "RabbitMQ counts what basic.get has brought towards a prefetch of the channel that is \
                 set later, and does not take it off when it is acknowledged",
        rule: Rule::Parts(order::get_and_prefetch),
    },
    Deliberate {
        name: "dead letter of a blind copy",
        reason: "RabbitMQ routes a dead letter by the keys of its BCC too, which no message shows any \
                 more; we forget them when the message is routed",
        rule: Rule::Parts(deaths::blind_copy),
    },
    Deliberate {
        name: "whole floats in headers",
        reason: "a headers exchange of RabbitMQ 4 tells 5.0 from 5, and so do we; that of 3.10 does not",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "expiry of quorum queues",
        reason: "RabbitMQ looks only every few seconds whether a quorum queue is unused; we do at once",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "returns to quorum queues",
        reason: "RabbitMQ's quorum queues serve what came back in an order of their own, keep a \
                 cancelled consumer until it has settled everything, and do not know of a prefetch of \
                 a channel that is set after consuming; ours work as classic queues do",
        rule: Rule::Parts(order::quorum_returns),
    },
    Deliberate {
        name: "x-death of a client",
        reason: "RabbitMQ 4 takes no account of an x-death that a client has made up, and neither do \
                 we; 3.10 does not set x-first-death-* when there is one, and its queue crashes over an \
                 entry that is not a table (of which the generator makes none)",
        rule: Rule::Parts(deaths::made_up_death),
    },
    Deliberate {
        name: "expiry in priority queues",
        reason: "RabbitMQ does not look at what a new message of a higher priority has brought to the \
                 front, and counts or even delivers it although its time is over; we do neither",
        rule: Rule::Parts(deaths::expired_priority),
    },
    Deliberate {
        name: "order of returns and dead letters",
        reason: "a channel of RabbitMQ gives back what each consumer had by itself, and dead letters of \
                 several queues arrive as they come; ours come back in the order of their publishing. A \
                 commit of RabbitMQ publishes before it returns; ours publishes when it is on the disk",
        rule: Rule::Parts(order::other_order),
    },
    Deliberate {
        name: "channels of an ending connection",
        reason: "RabbitMQ ends the channels of a connection one after the other, and its queues learn of \
                 it later: what comes back or dies then may still be delivered there, and is lost when \
                 nobody acknowledges; ours end together",
        rule: Rule::Parts(ends::lost_with_connection),
    },
    Deliberate {
        name: "last deliveries of a channel",
        reason: "a channel of RabbitMQ that ends leaves its queues one by one: what the first of them gives \
                 up (dead letters, what a commit has brought) another may still deliver to it, after its \
                 channel.close even; ours leaves all of them at once",
        rule: Rule::Parts(ends::delivers_to_ending_channel),
    },
    Deliberate {
        name: "credit of a channel",
        reason: "RabbitMQ's limiter tells the queues that waited for a channel's prefetch in a random \
                 order (rand:uniform in rabbit_limiter:notify_queues); ours take turns",
        rule: Rule::Parts(order::channel_credit),
    },
    Deliberate {
        name: "original expiration in lazy queues",
        reason: "RabbitMQ forgets the expiration of a message that it reads back from disk when it dead-\
                 letters it; we tell x-death's original-expiration always",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "full quorum queues",
        reason: "a quorum queue of RabbitMQ refuses messages some time after it was full; ours is \
                 exact",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: SEVERAL_QUEUES,
        reason: "RabbitMQ's queues are processes: what several of them deliver to one channel has no \
                 order (matched in compare.rs: the same deliveries of every queue in the same order)",
        rule: Rule::LeftOut,
    },
];
/// Whether the entry of that name is about an order, in which a busy machine has a hand too.
pub fn is_of_order(name: &str) -> bool {
    let ordered = [
        "get and channel prefetch",
        "returns to quorum queues",
        "expiry in priority queues",
        "order of returns and dead letters",
        "credit of a channel",
        "channels of an ending connection",
        "last deliveries of a channel",
        SEVERAL_QUEUES,
    ];
    ordered.contains(&name)
}
