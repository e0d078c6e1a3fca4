//! The trait of an exchange type: what its author writes. Not how it becomes a component
//! (see `component.rs`).

use crate::{Answer, History, Host, Inputs, Message, State, Table};

/// One exchange of a type that this plugin offers.
///
/// The broker keeps the bindings and the messages. A value of this type keeps an index, may be
/// thrown away at any moment, and is then built again with `open` and one `bind` for each binding.
pub trait ExchangeType: Sized + 'static {
    /// The types it implements, as clients name them in exchange.declare. At least one.
    const TYPES: &'static [&'static str];
    /// One line for humans.
    const SUMMARY: &'static str = "";
    /// Exchange arguments it understands.
    const ARGUMENTS: &'static [Named] = &[];
    /// Configuration keys it understands.
    const CONFIGURATION: &'static [Named] = &[];
    /// True: with CC and BCC the type is asked once for the whole message, not once for each key.
    const WHOLE_MESSAGE: bool = false;

    /// The plugin's table from the broker's configuration, as JSON. Asked when the plugin is loaded
    /// and when its settings change. An error refuses the plugin; the operator sees key and reason.
    fn check(configuration: &str) -> Result<(), WrongKey> {
        let _ = configuration;
        Ok(())
    }

    /// Serves one exchange from now on. An error refuses exchange.declare: 406 with this text.
    fn open(exchange: &Opening) -> Result<Self, String>;

    /// The exchange type that `Answer::delegate` hands over to. Asked once, after `open`.
    fn inner_type(&self) -> Option<String> {
        None
    }

    /// A binding was made. An error refuses queue.bind or exchange.bind: 406 with this text.
    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        let _ = binding;
        Ok(())
    }

    /// The binding is gone. A slot that was never bound is to be ignored.
    fn unbind(&mut self, slot: u32) {
        let _ = slot;
    }

    /// What `route` depends on, as things stand now. A narrow answer makes an exchange fast.
    fn inputs(&self) -> Inputs {
        Inputs::Anything
    }

    /// Where does this message go?
    fn route(&mut self, message: &Message) -> Answer;

    /// A message that was held is due.
    fn due(&mut self, message: &Message) -> Answer {
        self.route(message)
    }
}

/// An argument or configuration key, for `warren plugin inspect`.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub name: &'static str,
    pub summary: &'static str,
}

/// What is wrong with a plugin's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongKey {
    /// Empty when it is no key that is wrong.
    pub key: String,
    pub reason: String,
}

impl WrongKey {
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        WrongKey {
            key: key.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The exchange that is being opened.
pub struct Opening<'a> {
    pub vhost: &'a str,
    pub name: &'a str,
    /// One of `ExchangeType::TYPES`.
    pub type_name: &'a str,
    pub arguments: Table<'a>,
    /// The plugin's table from the broker's configuration, as JSON.
    pub configuration: &'a str,
    /// The broker's log and clock: clone it to keep it.
    pub host: &'a Host,
    /// What earlier instances of this exchange have left: clone it to keep it.
    pub state: &'a State,
    pub history: &'a History,
}

/// A binding that was made.
pub struct Binding<'a> {
    /// Names the binding from now on. Small, and used again after `unbind`.
    pub slot: u32,
    pub routing_key: &'a str,
    pub arguments: Table<'a>,
}
