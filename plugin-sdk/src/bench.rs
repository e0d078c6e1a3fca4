//! Runs an exchange type natively, as the broker would: for tests. Not a test of the component
//! itself, nor of the broker's limits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::interceptor::{Interceptor, InterceptorOpening, Verdict};
use crate::keep::Shelf;
use crate::{Answer, Binding, Decision, ExchangeType, Host, HostFunctions, Inputs, Level, Message};
use crate::{FieldValue, History, Lifetime, MessageSource, Opening, State, TableBuf, Value};

/// One opened exchange, a clock that stands still until it is set, and a log.
pub struct Bench<T> {
    exchange: T,
    surroundings: Rc<Surroundings>,
    shelf: Rc<Shelf>,
    remembered: bool,
}

#[derive(Default)]
struct Surroundings {
    now: Cell<u64>,
    clock_read: Cell<bool>,
    log: RefCell<Vec<(Level, String)>>,
}

impl HostFunctions for Surroundings {
    fn log(&self, level: Level, line: &str) {
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn now(&self) -> u64 {
        self.clock_read.set(true);
        self.now.get()
    }
}

impl<T: ExchangeType> Bench<T> {
    /// Opens an exchange of the plugin's first type, with these arguments.
    pub fn open(arguments: &TableBuf) -> Result<Self, String> {
        Self::open_configured(arguments, "{}")
    }

    /// The same with a configuration, as JSON.
    pub fn open_configured(arguments: &TableBuf, configuration: &str) -> Result<Self, String> {
        Self::open_with(arguments, configuration, Rc::default(), Rc::default())
    }

    /// As the broker does after a fault: a new instance finds what this one has kept. Without the
    /// bindings.
    pub fn reopen(self, arguments: &TableBuf) -> Result<Self, String> {
        Self::open_with(arguments, "{}", self.surroundings, self.shelf)
    }

    fn open_with(
        arguments: &TableBuf,
        configuration: &str,
        surroundings: Rc<Surroundings>,
        shelf: Rc<Shelf>,
    ) -> Result<Self, String> {
        let exchange = T::open(&Opening {
            vhost: "/",
            name: "bench",
            type_name: T::TYPES.first().copied().unwrap_or_default(),
            arguments: arguments.as_table(),
            configuration,
            host: &Host::new(surroundings.clone()),
            state: &State::on(&shelf),
            history: &History::on(&shelf),
        })?;
        Ok(Bench {
            exchange,
            surroundings,
            shelf,
            remembered: false,
        })
    }

    pub fn inner_type(&self) -> Option<String> {
        self.exchange.inner_type()
    }

    pub fn bind(
        &mut self,
        slot: u32,
        routing_key: &str,
        arguments: &TableBuf,
    ) -> Result<(), String> {
        self.shelf.replay.set(false);
        self.exchange.bind(&Binding {
            slot,
            routing_key,
            arguments: arguments.as_table(),
        })
    }

    pub fn unbind(&mut self, slot: u32) {
        self.exchange.unbind(slot);
    }

    pub fn inputs(&self) -> Inputs {
        self.exchange.inputs()
    }

    pub fn set_now(&mut self, milliseconds: u64) {
        self.surroundings.now.set(milliseconds);
    }

    pub fn route(&mut self, message: &TestMessage) -> Answer {
        self.ask(T::route, message)
    }

    pub fn due(&mut self, message: &TestMessage) -> Answer {
        self.ask(T::due, message)
    }

    /// Where the message goes, sorted and without repetitions; `None` when it was not routed by
    /// slots.
    pub fn slots(&mut self, message: &TestMessage) -> Option<Vec<u32>> {
        match self.route(message).decision {
            Decision::To(mut slots) => {
                slots.sort_unstable();
                slots.dedup();
                Some(slots)
            }
            Decision::Hold(_) | Decision::Delegate | Decision::Reject(_) => None,
        }
    }

    /// Whether the broker would remember the last answer. When this is false although it should
    /// not be, `route` read something that `inputs` does not name.
    pub fn was_remembered(&self) -> bool {
        self.remembered
    }

    /// How many messages the last one that was routed is to be the newest of.
    pub fn keeps(&self) -> Option<u32> {
        self.shelf.keep.get()
    }

    /// Whether the last binding is to be given what is kept.
    pub fn replays(&self) -> bool {
        self.shelf.replay.get()
    }

    /// Keys of this exchange's state, with how long they are kept.
    pub fn state(&self) -> Vec<(Vec<u8>, Lifetime)> {
        let entries = self.shelf.entries.borrow();
        let entries = entries.iter();
        entries
            .map(|(key, (_, lifetime))| (key.clone(), *lifetime))
            .collect()
    }

    /// From now on further keys are refused.
    pub fn limit_keys(&mut self, most: usize) {
        self.shelf.most_keys.set(Some(most));
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.surroundings.log.borrow().clone()
    }

    fn ask(&mut self, decide: fn(&mut T, &Message) -> Answer, message: &TestMessage) -> Answer {
        let watched = Watched {
            message,
            allowed: self.exchange.inputs(),
            stepped_over: Cell::new(false),
        };
        self.surroundings.clock_read.set(false);
        self.shelf.touched.set(false);
        self.shelf.keep.set(None);
        let answer = decide(&mut self.exchange, &Message::new(&watched));
        self.remembered = watched.allowed != Inputs::Anything
            && !watched.stepped_over.get()
            && !self.surroundings.clock_read.get()
            && !self.shelf.touched.get()
            && !matches!(answer.decision, Decision::Hold(_))
            && answer.set_headers.is_empty();
        answer
    }
}

/// One opened interceptor, in front of the exchange `bench`.
pub struct Front<T> {
    interceptor: T,
    surroundings: Rc<Surroundings>,
}

impl<T: Interceptor> Front<T> {
    /// With this configuration, as JSON.
    pub fn open(configuration: &str) -> Result<Self, String> {
        let surroundings: Rc<Surroundings> = Rc::default();
        let interceptor = T::open(&InterceptorOpening {
            vhost: "/",
            exchange: "bench",
            configuration,
            host: &Host::new(surroundings.clone()),
            state: &State::on(&Rc::default()),
        })?;
        Ok(Front {
            interceptor,
            surroundings,
        })
    }

    pub fn set_now(&mut self, milliseconds: u64) {
        self.surroundings.now.set(milliseconds);
    }

    pub fn before_route(&mut self, message: &TestMessage) -> Verdict {
        let watched = Watched {
            message,
            allowed: Inputs::Anything,
            stepped_over: Cell::new(false),
        };
        self.interceptor.before_route(&Message::new(&watched))
    }
}

/// A message to route.
#[derive(Clone, Debug, Default)]
pub struct TestMessage {
    exchange: String,
    routing_key: String,
    headers: TableBuf,
    properties: Vec<u8>,
    body: Vec<u8>,
}

impl TestMessage {
    pub fn new(routing_key: &str) -> Self {
        TestMessage {
            exchange: "bench".to_owned(),
            routing_key: routing_key.to_owned(),
            ..TestMessage::default()
        }
    }

    pub fn header<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.headers = self.headers.with(name, value);
        self
    }

    /// Property flags and property list, as in a content header frame.
    pub fn properties(mut self, encoded: &[u8]) -> Self {
        self.properties = encoded.to_vec();
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

/// Notes what `route` reads although `inputs` does not name it.
struct Watched<'a> {
    message: &'a TestMessage,
    allowed: Inputs,
    stepped_over: Cell<bool>,
}

impl Watched<'_> {
    fn read(&self, declared: bool) {
        if !declared {
            self.stepped_over.set(true);
        }
    }
}

impl MessageSource for Watched<'_> {
    /// The memo is one exchange's own: its name never differs.
    fn exchange(&self) -> String {
        self.message.exchange.clone()
    }

    fn routing_key(&self) -> String {
        self.read(self.allowed == Inputs::RoutingKey);
        self.message.routing_key.clone()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.read(match &self.allowed {
            Inputs::Headers(names) => names.iter().any(|declared| declared == name),
            Inputs::Nothing | Inputs::RoutingKey | Inputs::Anything => false,
        });
        let value = self.message.headers.as_table().get(name)?;
        Some(FieldValue::from(value).into_bytes())
    }

    fn headers(&self) -> Vec<u8> {
        self.read(false);
        self.message.headers.clone().into_bytes()
    }

    fn properties(&self) -> Vec<u8> {
        self.read(false);
        self.message.properties.clone()
    }

    fn body_length(&self) -> u64 {
        self.read(false);
        self.message.body.len() as u64
    }

    fn body(&self, offset: u64, length: u32) -> Vec<u8> {
        self.read(false);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.message.body.get(from..).unwrap_or_default();
        rest.iter().take(length as usize).copied().collect()
    }
}
