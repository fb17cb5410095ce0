//! The comparison as JSON and as tables.

use serde_json::{Map, Value, json};

use super::{About, Comparison, Difference, Line, Mean, Side};
use crate::tables::{self, Data};

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

    /// What the sides were told differently: a line a key.
    pub(super) fn configured(&self) -> Data {
        let line = |(key, values): &(String, Vec<String>)| {
            let sides = self.sides.iter().zip(values);
            let line = tables::Line::default().with("key", key.clone());
            sides.fold(line, |line, (side, value)| line.with(side.letter.clone(), value.clone()))
        };
        Data::of(self.differing.iter().map(line))
    }

    /// What came of it: a line a quantity and side.
    pub(super) fn measured(&self) -> Data {
        let of_line = |line: &Line| -> Vec<tables::Line> {
            let of_side = |(i, side): (usize, &Side)| {
                let (mean, difference) = (line.means[i].as_ref()?, line.differences[i].as_ref());
                let interval = |end: usize| difference.map(|d| d.interval[end]);
                let out = tables::Line::default().with("name", line.name.clone()).with("label", line.label.clone());
                let out = out.with("side", side.letter.clone()).estimate("mean", Some(&mean.of)).with("n", mean.n);
                let out = out.with("mark", mark(mean)).estimate("difference", difference.map(|d| &d.of));
                let out = out.number("low", interval(0)).number("high", interval(1));
                Some(out.with("told", difference.map(|d| d.told)))
            };
            self.sides.iter().enumerate().filter_map(of_side).collect()
        };
        Data::of(self.lines.iter().flat_map(of_line))
    }
}

fn mark(mean: &Mean) -> Value {
    match mean.mark {
        Some('★') => json!("best"),
        Some(_) => json!("tied"),
        None => Value::Null,
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
    let mean = |of: &Mean| json!({ "mean": of.of, "n": of.n, "not_finite": of.not_finite, "mark": mark(of) });
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
