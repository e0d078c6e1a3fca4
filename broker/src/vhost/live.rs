//! Who decides for an exchange: the instances of its type, or what stands in while the type is
//! away. Opened at declare and at recovery, and again when a plugin comes, goes or changes (see
//! `renew.rs`). Not the exchange's bindings.

use std::collections::HashSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::definition::ExchangeDefinition;
use super::exchange_type::{
    BindRefusal, BindingTable, ExchangeInstance, ExchangeTypes, OpenRefusal, Opened, Opening,
    Unavailable,
};
use super::kept::Kept;

pub enum Live {
    Available(Arc<dyn ExchangeInstance>),
    /// The outer type may delegate to the inner one.
    Nested {
        outer: Arc<dyn ExchangeInstance>,
        inner: Arc<dyn ExchangeInstance>,
        inner_type: String,
    },
    /// No enabled plugin offers the type, or its plugin cannot open this exchange.
    Away(Away),
}

pub enum Away {
    Failing,
    Holding { limit: u64 },
    Fallback(Arc<dyn ExchangeInstance>),
}

/// Which of an exchange's instances is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Outer,
    Inner,
}

pub type Instances<'a> = SmallVec<[&'a Arc<dyn ExchangeInstance>; 2]>;

impl Live {
    pub fn open(
        vhost: &str,
        definition: &ExchangeDefinition,
        types: &dyn ExchangeTypes,
        kept: &Kept,
    ) -> Result<Live, OpenRefusal> {
        let opening = opening(vhost, definition, &definition.type_name, kept);
        let Opened {
            instance,
            inner_type,
        } = types.open(&opening)?;
        let Some(inner_type) = inner_type else {
            return Ok(Live::Available(instance));
        };
        let inner = types.open(&Opening {
            type_name: &inner_type,
            ..opening
        });
        let inner = inner.map_err(|refusal| match refusal {
            OpenRefusal::UnknownType => {
                OpenRefusal::Refused(format!("unknown exchange type '{inner_type}'"))
            }
            OpenRefusal::Refused(_) | OpenRefusal::Failed(_) => refusal,
        })?;
        if inner.inner_type.is_some() {
            let text = format!("exchange type '{inner_type}' cannot be delegated to");
            return Err(OpenRefusal::Refused(text));
        }
        Ok(Live::Nested {
            outer: instance,
            inner: inner.instance,
            inner_type,
        })
    }

    /// What stands in for a type that is away. `table` are the bindings that are there already.
    pub fn away(
        vhost: &str,
        definition: &ExchangeDefinition,
        types: &dyn ExchangeTypes,
        kept: &Kept,
        table: Option<&dyn BindingTable>,
    ) -> Live {
        Live::Away(match types.unavailable(&definition.type_name) {
            Unavailable::Fail => Away::Failing,
            Unavailable::Hold { limit } => Away::Holding { limit },
            Unavailable::Fallback(type_name) => {
                let opened = types.open(&opening(vhost, definition, &type_name, kept));
                let opened = opened.map_err(|refusal| format!("{refusal:?}"));
                let filled = opened.and_then(|opened| {
                    let bound = table.map_or(Ok(()), |table| opened.instance.bind_all(table));
                    match bound {
                        Ok(()) => Ok(opened.instance),
                        Err(refusal) => Err(format!("{refusal:?}")),
                    }
                });
                match filled {
                    Ok(instance) => Away::Fallback(instance),
                    Err(reason) => {
                        let exchange = &definition.name;
                        tracing::error!(vhost, exchange, type_name, reason, "no fallback");
                        Away::Failing
                    }
                }
            }
        })
    }

    pub fn instance(&self, stage: Stage) -> Option<&Arc<dyn ExchangeInstance>> {
        match (self, stage) {
            (
                Live::Available(outer)
                | Live::Nested { outer, .. }
                | Live::Away(Away::Fallback(outer)),
                Stage::Outer,
            ) => Some(outer),
            (Live::Nested { inner, .. }, Stage::Inner) => Some(inner),
            (Live::Available(_) | Live::Away(Away::Fallback(_)), Stage::Inner)
            | (Live::Away(Away::Failing | Away::Holding { .. }), _) => None,
        }
    }

    pub fn instances(&self) -> Instances<'_> {
        [Stage::Outer, Stage::Inner]
            .iter()
            .filter_map(|stage| self.instance(*stage))
            .collect()
    }

    /// Gives all of them the bindings that are there.
    pub fn bind_all(&self, table: &dyn BindingTable) -> Result<(), BindRefusal> {
        self.instances()
            .iter()
            .try_for_each(|instance| instance.bind_all(table))
    }

    /// Whether it is its own type that decides.
    pub fn is_available(&self) -> bool {
        match self {
            Live::Available(_) | Live::Nested { .. } => true,
            Live::Away(_) => false,
        }
    }

    /// Whether it fails everything, rather than to hold it or to fall back.
    pub fn is_failing(&self) -> bool {
        matches!(self, Live::Away(Away::Failing))
    }

    /// Whether a change to these types concerns an exchange of `type_name`. Whatever is away is
    /// tried again.
    pub fn depends_on(&self, type_name: &str, changed: &HashSet<String>) -> bool {
        match self {
            Live::Available(_) => changed.contains(type_name),
            Live::Nested { inner_type, .. } => {
                changed.contains(type_name) || changed.contains(inner_type)
            }
            Live::Away(_) => true,
        }
    }
}

fn opening<'a>(
    vhost: &'a str,
    definition: &'a ExchangeDefinition,
    type_name: &'a str,
    kept: &'a Kept,
) -> Opening<'a> {
    Opening {
        vhost,
        exchange: &definition.name,
        type_name,
        arguments: &definition.arguments.0,
        kept,
    }
}
