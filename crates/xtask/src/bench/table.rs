//! What was measured, as a table for the terminal and as JSON.

use super::json::quoted;
use super::peers::PEERS;
use super::spread::{Spread, number};
use super::write;

/// A case, and what each side was measured at.
#[derive(Default)]
pub(crate) struct Row {
    /// What cases have in common that stand together.
    pub(crate) setting: String,
    pub(crate) name: String,
    pub(crate) ours: Vec<f64>,
    /// The same of each peer; none where it was not asked, or cannot tell.
    pub(crate) theirs: [Vec<f64>; PEERS.len()],
    /// A number of ours beside it, by its key in the JSON.
    pub(crate) more: Option<(&'static str, f64)>,
}

impl Row {
    pub(crate) fn new(setting: impl Into<String>, name: impl Into<String>) -> Self {
        Self { setting: setting.into(), name: name.into(), ..Self::default() }
    }

    fn their_spread(&self, peer: usize) -> Option<Spread> {
        Some(&self.theirs[peer]).filter(|numbers| !numbers.is_empty()).map(|numbers| Spread::of(numbers))
    }

    /// An object of JSON.
    pub(crate) fn json(&self) -> String {
        let mut fields = vec![
            format!("\"setting\": {}", quoted(&self.setting)),
            format!("\"name\": {}", quoted(&self.name)),
            format!("\"stein\": {}", Spread::of(&self.ours).json()),
        ];
        let others = PEERS.iter().enumerate().filter_map(|(i, peer)| Some((peer.key, self.their_spread(i)?)));
        fields.extend(others.map(|(key, spread)| format!("{}: {}", quoted(key), spread.json())));
        fields.extend(self.more.map(|(key, value)| format!("{}: {value}", quoted(key))));
        format!("{{{}}}", fields.join(", "))
    }
}

/// Prints rows under `heading`, and writes them to `out`.
pub(crate) fn tell(out: &str, heading: &str, rows: &[Row]) -> Result<(), String> {
    println!("\n{heading}: median (least)");
    let peers: Vec<usize> =
        (0..PEERS.len()).filter(|peer| rows.iter().any(|row| !row.theirs[*peer].is_empty())).collect();
    let mut setting = None;
    for row in rows {
        let more = row.more.map(|(key, _)| key.replace("_to_", "/")).unwrap_or_default();
        if setting != Some(&row.setting) {
            setting = Some(&row.setting);
            let names: String = peers.iter().map(|peer| format!("{:>18}{:>7}", PEERS[*peer].name, "ratio")).collect();
            println!("\n{:<38}{:>18}{names}{more:>14}", row.setting, "stein");
        }
        let own = Spread::of(&row.ours);
        let beside = |peer: &usize| match row.their_spread(*peer) {
            Some(other) => format!("{:>18}{:>7.2}", short(other), other.median / own.median),
            None => format!("{:>18}{:>7}", "-", ""),
        };
        let beside: String = peers.iter().map(beside).collect();
        let more = row.more.map(|(_, value)| format!("{value:.2}")).unwrap_or_default();
        println!("  {:<36}{:>18}{beside}{more:>14}", row.name, short(own));
    }
    write(out, &rows.iter().map(Row::json).collect::<Vec<_>>())?;
    let favour = if peers.is_empty() { "" } else { "a ratio above 1 is in stein's favour; " };
    println!("\n{favour}all of it in {out}\n");
    Ok(())
}

fn short(spread: Spread) -> String {
    format!("{} ({})", number(spread.median), number(spread.least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::json::Value;

    #[test]
    fn rows_are_json() {
        let mut row = Row::new("a \"setting\"", "a\\name");
        (row.ours, row.theirs[2], row.more) = (vec![2.0, 1.0, 4.0], vec![6.0], Some(("energy_to_free", 1.5)));
        let read = Value::parse(&row.json()).unwrap();
        assert_eq!(read.get("setting").and_then(Value::text), Some("a \"setting\""));
        assert_eq!(read.get("name").and_then(Value::text), Some("a\\name"));
        let median = |side: &str| read.get(side)?.get("median")?.number();
        assert_eq!([median("stein"), median("torch"), median("jax")], [Some(2.0), None, Some(6.0)]);
        assert_eq!(read.get("energy_to_free").and_then(Value::number), Some(1.5));
    }
}
