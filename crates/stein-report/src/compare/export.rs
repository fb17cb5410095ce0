//! The comparison as JSON.

use serde_json::{Map, Value, json};

use super::{About, Comparison, Difference, Line, Mean, Side};

impl Comparison {
    /// All of it as one JSON object.
    pub fn json(&self) -> Value {
        let letters = || self.sides.iter().map(|side| side.letter.clone());
        let differing = self.differing.iter().map(|(key, values)| {
            let values: Map<String, Value> = letters().zip(values.iter().map(|v| json!(v))).collect();
            json!({ "key": key, "values": values })
        });
        json!({
            "schema": 1,
            "sides": self.sides.iter().map(side).collect::<Vec<_>>(),
            "differing": differing.collect::<Vec<_>>(),
            "lines": self.lines.iter().map(|l| line(l, letters())).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

fn side(side: &Side) -> Value {
    json!({
        "side": side.letter,
        "name": side.name,
        "runs": side.runs,
        "seeds": side.seeds,
        "finished": side.finished,
        "missing": side.missing,
    })
}

fn line(line: &Line, letters: impl Iterator<Item = String> + Clone) -> Value {
    let about = match line.about {
        About::Quality => "quality",
        About::Cost => "cost",
        About::Samples => "samples",
    };
    let mean = |of: &Mean| {
        let mark = match of.mark {
            Some('★') => json!("best"),
            Some(_) => json!("tied"),
            None => Value::Null,
        };
        json!({ "mean": of.of, "n": of.n, "not_finite": of.not_finite, "mark": mark })
    };
    let difference = |of: &Difference| json!({ "mean": of.of, "n": of.n, "interval": of.interval, "told": of.told });
    let means = letters.clone().zip(&line.means).filter_map(|(side, of)| Some((side, mean(of.as_ref()?))));
    let differences = letters.zip(&line.differences).filter_map(|(side, of)| Some((side, difference(of.as_ref()?))));
    json!({
        "name": line.name,
        "label": line.label,
        "about": about,
        "direction": line.direction,
        "means": means.collect::<Map<_, _>>(),
        "differences": differences.collect::<Map<_, _>>(),
    })
}
