//! JSON has no NaN and no infinities, and `serde_json` writes `null` for them, which loses what happened. Here a
//! non-finite number is the string `"NaN"`, `"inf"` or `"-inf"`. Use with `#[serde(with = "stein_record::float")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

#[derive(Deserialize)]
#[serde(untagged)]
enum Repr {
    Number(f64),
    Text(String),
}

fn parse<E: Error>(repr: Repr) -> Result<f64, E> {
    match repr {
        Repr::Number(x) => Ok(x),
        Repr::Text(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            other => Err(E::custom(format!("expected a number, \"NaN\", \"inf\" or \"-inf\", found {other:?}"))),
        },
    }
}

/// Writes a finite number as such and any other as a string.
pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if x.is_finite() {
        serializer.serialize_f64(*x)
    } else if x.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if *x > 0.0 { "inf" } else { "-inf" })
    }
}

/// Reads what [`serialize`] writes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    parse(Repr::deserialize(deserializer)?)
}

/// The same for a list.
pub mod list {
    use super::{Repr, parse};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct One(#[serde(with = "super")] f64);

    /// Writes each number as [`super::serialize`] does.
    pub fn serialize<S: Serializer>(list: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|&x| One(x)))
    }

    /// Reads what [`serialize`] writes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Repr>::deserialize(deserializer)?.into_iter().map(parse).collect()
    }
}
