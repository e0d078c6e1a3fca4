//! What the kernel asks of an exchange type, live: the traits that `plugin/` implements.
//! Not the exchange itself (see `exchange.rs`): an instance here can be thrown away at any moment
//! and rebuilt from the kernel's binding table.

use std::sync::Arc;

use smallvec::SmallVec;

use super::kept::Kept;
use crate::clock::Millis;
use crate::message::{Message, MessageView};
use crate::names::Slot;

/// All exchange types that are enabled.
pub trait ExchangeTypes: Send + Sync {
    /// Opens an instance for one exchange. Called at declare and at recovery.
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenRefusal>;

    /// Whether a client may declare one more exchange of this type; the error is what it sees. Not
    /// asked about exchanges that are there already.
    fn room_for_exchange(&self, type_name: &str) -> Result<(), String>;

    /// The plugins that stand in front of this exchange by their own configuration.
    fn interceptors(&self, vhost: &str, exchange: &str) -> Vec<String> {
        let (_, _) = (vhost, exchange);
        Vec::new()
    }

    /// The interceptor of this name in front of one exchange. It is started with its first message.
    fn intercept(&self, name: &str, opening: &Opening<'_>) -> Interception {
        let _ = opening;
        Interception {
            instance: Err(format!("there is no plugin '{name}'")),
            on_failure: OnFailure::Refuse,
        }
    }

    /// What publishes to an exchange of this type meet while no enabled plugin offers it.
    fn unavailable(&self, type_name: &str) -> Unavailable;
}

/// An interceptor, or why it is not there.
pub struct Interception {
    pub instance: Result<Arc<dyn ExchangeInstance>, String>,
    pub on_failure: OnFailure,
}

/// What becomes of a message that an interceptor cannot look at: it is away, or its call failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nack under confirms, otherwise 541.
    #[default]
    Refuse,
    /// It goes on as if the interceptor were not there.
    Pass,
}

/// What an exchange does with messages while its type is away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unavailable {
    /// Nack under confirms, otherwise 541.
    #[default]
    Fail,
    /// Keep up to so many messages an exchange, durably, and route them when the type is back.
    /// What is over that fails.
    Hold { limit: u64 },
    /// Let this type decide, with the same arguments and bindings.
    Fallback(String),
}

pub struct Opening<'a> {
    pub vhost: &'a str,
    pub exchange: &'a str,
    pub type_name: &'a str,
    /// The exchange's arguments as an encoded AMQP field table, without the length in front.
    pub arguments: &'a [u8],
    /// What earlier instances of this exchange have left.
    pub kept: &'a Kept,
}

pub struct Opened {
    pub instance: Arc<dyn ExchangeInstance>,
    /// The type that `Decision::Delegate` hands over to. The kernel opens it with the same
    /// arguments and gives it the same bindings.
    pub inner_type: Option<String>,
}

#[derive(Debug)]
pub enum OpenRefusal {
    /// No enabled plugin offers this type: 406 "unknown exchange type".
    UnknownType,
    /// The plugin refuses these arguments, with the text that the client sees (406).
    Refused(String),
    /// The plugin failed (trap, time-out ...): 541, the text goes to the log.
    Failed(String),
}

/// One live exchange in a plugin.
pub trait ExchangeInstance: Send + Sync {
    /// `binding` is already in `table`; the kernel takes it out again when this refuses. What comes
    /// back are messages from before that are to go where it leads, the oldest first.
    fn bind(
        &self,
        binding: BindingView<'_>,
        table: &dyn BindingTable,
    ) -> Result<Vec<Arc<Message>>, BindRefusal>;

    /// Whether a client may make one more binding; the error is what it sees. Not asked about
    /// bindings that are there already.
    fn room_for_binding(&self) -> Result<(), String>;

    /// Under sender-selected distribution: it is asked once for the whole message.
    fn wants_whole_message(&self) -> bool;

    /// Binds everything in `table`, to an instance that was just opened. The first binding that is
    /// refused is the answer.
    fn bind_all(&self, table: &dyn BindingTable) -> Result<(), BindRefusal>;

    /// `slot` is already gone from `table`. Cannot be refused.
    fn unbind(&self, slot: Slot, table: &dyn BindingTable);

    /// What decisions depend on, as of the last open, bind or unbind. Cheap: answered from memory.
    fn inputs(&self) -> Inputs;

    /// So many answers were found remembered. For the counters alone.
    fn remembered(&self, hits: u64);

    /// Decides now, on the caller's thread, unless the instance is busy or known to be slow.
    fn route(&self, call: Call<'_>, table: &dyn BindingTable) -> Routing;

    /// Whether `route_keys` may have answers.
    fn may_be_asked_by_key(&self) -> bool {
        false
    }

    /// Where messages go that differ in nothing but their routing keys: of some of these keys, the
    /// first ones. Of an instance that has answered `route` just now. None: nothing is known.
    fn route_keys(&self, keys: &[&str], table: &dyn BindingTable) -> Option<Destinations> {
        let (_, _) = (keys, table);
        None
    }

    /// Decides on the plugin's own thread; `done` is called there, exactly once.
    fn route_later(
        &self,
        moment: Moment,
        message: Arc<Message>,
        table: Arc<dyn BindingTable>,
        done: Box<dyn FnOnce(Result<Answer, Fault>) + Send>,
    );
}

/// A message and why it is asked about.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub moment: Moment,
    pub message: MessageView<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The message was just published (or came through an exchange binding).
    Publish,
    /// The message was held and its time has come.
    Due,
}

/// The kernel's bindings of one exchange: what an instance is rebuilt from.
pub trait BindingTable: Send + Sync {
    fn for_each(&self, visit: &mut dyn FnMut(BindingView<'_>));
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Copy)]
pub struct BindingView<'a> {
    pub slot: Slot,
    pub routing_key: &'a str,
    /// Encoded AMQP field table, without the length in front.
    pub arguments: &'a [u8],
}

#[derive(Debug)]
pub enum BindRefusal {
    /// The text that the client sees (406).
    Refused(String),
    /// 541, the text goes to the log.
    Failed(String),
}

/// What an exchange's decisions depend on; the kernel memoises exactly that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    Nothing,
    RoutingKey,
    /// These headers, in this order, and nothing else.
    Headers(Arc<[String]>),
    Anything,
}

/// Answers to several routing keys, behind each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Destinations {
    slots: Vec<Slot>,
    /// Where those of each key end.
    ends: Vec<u32>,
    /// Keys that `route` must be asked about, rising.
    alone: Vec<u32>,
}

impl Destinations {
    /// An error says why these are no answers to so many keys.
    pub fn of(
        keys: usize,
        (slots, ends, alone): (Vec<Slot>, Vec<u32>, Vec<u32>),
    ) -> Result<Destinations, String> {
        if ends.len() != keys {
            return Err(format!("{} answers to {keys} keys", ends.len()));
        }
        if !ends.is_sorted() || ends.last().is_some_and(|end| *end as usize > slots.len()) {
            return Err(format!("answers that end outside of {} slots", slots.len()));
        }
        if !alone.is_sorted() {
            return Err("keys to be asked about alone in no order".to_owned());
        }
        Ok(Destinations { slots, ends, alone })
    }

    /// By key; None where that key must be asked about alone.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[Slot]>> {
        let mut begin = 0;
        let mut alone = self.alone.iter().peekable();
        self.ends.iter().enumerate().map(move |(key, end)| {
            let slots = self.slots.get(begin..*end as usize);
            begin = *end as usize;
            let mut is_alone = false;
            while alone.next_if(|at| **at as usize <= key).is_some() {
                is_alone = true;
            }
            slots.filter(|_| !is_alone)
        })
    }
}

#[derive(Debug)]
pub enum Routing {
    Now(Answer),
    /// Busy or in the slow lane: use `route_later`.
    Later,
    Fault(Fault),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub decision: Decision,
    /// Headers to set on the message before it goes on: name and encoded value (type octet first).
    pub set_headers: Vec<(String, Vec<u8>)>,
    /// False when the call read what `inputs` does not cover: clock, random, undeclared fields.
    pub pure: bool,
    /// The call has changed what the exchange keeps: it must not be made again for this message.
    pub final_word: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// As the plugin returned them: may hold unknown slots and duplicates, which the kernel drops.
    To(SmallVec<[Slot; 8]>),
    /// Keep the message durably and ask again (`Moment::Due`) at this time.
    Hold { until: Millis },
    /// Let the inner type decide.
    Delegate,
    /// Refuse the publish: nack under confirms, otherwise 406 with this text.
    Reject(String),
}

/// The plugin could not decide, after one rebuild and retry. The publish fails honestly:
/// nack under confirms, otherwise 541 on that channel. The text is for the log.
#[derive(Clone, Debug)]
pub struct Fault(pub String);
