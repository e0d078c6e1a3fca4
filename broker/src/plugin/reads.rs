//! What the running call looked at, held against what the plugin declared in `inputs`.

use crate::vhost::exchange_type::Inputs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The exchange a message was published to: not its key, and another one behind an
    /// exchange-to-exchange binding.
    Exchange,
    RoutingKey,
    Header,
    Headers,
    Properties,
    Body,
    Clock,
    Random,
    /// What the exchange keeps.
    State,
}

impl Field {
    pub fn name(self) -> &'static str {
        match self {
            Field::Exchange => "the exchange name",
            Field::RoutingKey => "the routing key",
            Field::Header => "a header",
            Field::Headers => "all headers",
            Field::Properties => "the properties",
            Field::Body => "the body",
            Field::Clock => "the clock",
            Field::Random => "random numbers",
            Field::State => "its state",
        }
    }
}

pub(super) struct Reads {
    declared: Inputs,
    /// The first field of this call that makes its answer unfit to be remembered.
    impure: Option<Field>,
    /// The first message field of this call that was read without being declared.
    undeclared: Option<Field>,
}

impl Reads {
    pub fn new() -> Reads {
        Reads {
            declared: Inputs::Anything,
            impure: None,
            undeclared: None,
        }
    }

    pub fn declare(&mut self, inputs: Inputs) {
        self.declared = inputs;
    }

    pub fn start_call(&mut self) {
        self.impure = None;
        self.undeclared = None;
    }

    pub fn impure(&self) -> Option<Field> {
        self.impure
    }

    pub fn undeclared(&self) -> Option<Field> {
        self.undeclared
    }

    pub fn header(&mut self, name: &str) {
        let declared = match &self.declared {
            Inputs::Anything => true,
            Inputs::Headers(names) => names.iter().any(|declared| declared == name),
            Inputs::Nothing | Inputs::RoutingKey => false,
        };
        if !declared {
            self.stray(Field::Header);
        }
    }

    pub fn field(&mut self, field: Field) {
        match field {
            // Documented as never remembered, so no reason for a word in the log.
            Field::Clock | Field::Random | Field::State => {
                self.impure = self.impure.or(Some(field))
            }
            Field::Exchange
            | Field::RoutingKey
            | Field::Header
            | Field::Headers
            | Field::Properties
            | Field::Body => {
                let declared = match self.declared {
                    Inputs::Anything => true,
                    Inputs::RoutingKey => field == Field::RoutingKey,
                    Inputs::Headers(_) | Inputs::Nothing => false,
                };
                if !declared {
                    self.stray(field);
                }
            }
        }
    }

    fn stray(&mut self, field: Field) {
        self.impure = self.impure.or(Some(field));
        self.undeclared = self.undeclared.or(Some(field));
    }
}
