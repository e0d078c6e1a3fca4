//! Exchange type `x-geo`: to every binding whose place is within its radius of the message's place.
//!
//! A binding's arguments are `latitude`, `longitude` (degrees) and `radius-km`; a message has the
//! headers `latitude` and `longitude`. A message without them goes nowhere.

use std::collections::BTreeMap;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Named, Opening, Value};

const LATITUDE: &str = "latitude";
const LONGITUDE: &str = "longitude";
const RADIUS: &str = "radius-km";

/// The mean radius; the earth is a ball here, which is wrong by half a percent at most.
const EARTH_KM: f64 = 6371.0;

#[derive(Default)]
pub struct Geo(BTreeMap<u32, Circle>);

struct Circle {
    center: Place,
    radius_km: f64,
}

/// In radians.
struct Place {
    latitude: f64,
    longitude: f64,
}

impl ExchangeType for Geo {
    const TYPES: &'static [&'static str] = &["x-geo"];
    const SUMMARY: &'static str = "To every binding within its radius of the message's place";
    const ARGUMENTS: &'static [Named] = &[];

    fn open(_: &Opening) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        let given = |name| {
            let value = binding.arguments.get(name).and_then(number);
            value.ok_or_else(|| format!("argument '{name}' must be a number"))
        };
        let radius_km = given(RADIUS)?;
        if radius_km < 0.0 {
            return Err(format!("argument '{RADIUS}' must not be negative"));
        }
        let center = Place::at(given(LATITUDE)?, given(LONGITUDE)?)?;
        self.0.insert(binding.slot, Circle { center, radius_km });
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.0.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Headers(vec![LATITUDE.to_owned(), LONGITUDE.to_owned()])
    }

    fn route(&mut self, message: &Message) -> Answer {
        let degrees = |name| message.header(name).and_then(|value| number(value.value()));
        let (Some(latitude), Some(longitude)) = (degrees(LATITUDE), degrees(LONGITUDE)) else {
            return Answer::nowhere();
        };
        let Ok(place) = Place::at(latitude, longitude) else {
            return Answer::nowhere();
        };
        let circles = self.0.iter();
        let around = circles.filter(|(_, circle)| circle.center.km_to(&place) <= circle.radius_km);
        Answer::to(around.map(|(slot, _)| *slot))
    }
}

impl Place {
    fn at(latitude: f64, longitude: f64) -> Result<Place, String> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(format!("'{LATITUDE}' is from -90 to 90, not {latitude}"));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(format!(
                "'{LONGITUDE}' is from -180 to 180, not {longitude}"
            ));
        }
        Ok(Place {
            latitude: latitude.to_radians(),
            longitude: longitude.to_radians(),
        })
    }

    /// The haversine formula: exact enough for small distances too.
    fn km_to(&self, other: &Place) -> f64 {
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        let across = self.latitude.cos() * other.latitude.cos();
        let chord =
            half(self.latitude, other.latitude) + across * half(self.longitude, other.longitude);
        2.0 * EARTH_KM * chord.min(1.0).sqrt().asin()
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Float(float) => float.into(),
        Value::Double(float) => float,
        Value::Decimal { scale, value } => f64::from(value) / 10_f64.powi(scale.into()),
        // Beyond 2^53 an integer is no degree anyway.
        other => other.as_int()? as f64,
    };
    number.is_finite().then_some(number)
}

warren_plugin_sdk::export!(Geo);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_map() {
        let place = |latitude, longitude| Place::at(latitude, longitude).expect("a place");
        let (berlin, munich) = (place(52.52, 13.405), place(48.137, 11.575));
        assert!((berlin.km_to(&munich) - 504.0).abs() < 2.0);
        assert!(berlin.km_to(&berlin) < 1e-9);
        // Over the date line.
        assert!(place(0.0, 179.9).km_to(&place(0.0, -179.9)) < 23.0);
    }

    #[test]
    fn what_is_no_number_is_no_place() {
        assert_eq!(
            number(Value::Decimal {
                scale: 2,
                value: 150
            }),
            Some(1.5)
        );
        assert_eq!(number("1".into()), None);
        assert_eq!(number(Value::Double(f64::NAN)), None);
    }
}
