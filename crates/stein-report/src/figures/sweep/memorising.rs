//! How much networks of different training sets have learned by heart, per noise level.

use stein_record::{Estimate, LevelRecord};

use super::design::Design;
use super::{assemble, by_sigma, errors};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::figures::levels::Curves;
use crate::statistics::repeated;
use crate::sweep::{Numbers, Row, Table};

/// Whether rows differ in how many examples they were trained on, and it is known what memorising would reach.
pub(crate) fn is_of_interest(table: &Table<'_>) -> bool {
    let mut sizes: Vec<usize> =
        table.rows.iter().flat_map(|row| row.numbers()).filter(|n| known(n)).map(|n| n.train).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes.len() > 1
}

fn known(numbers: &Numbers) -> bool {
    numbers.losses.iter().any(|level| level.memorising_train.is_some() && level.memorising_held_out.is_some())
}

/// λ(σ) times the losses on training and held-out rows, beside those of the empirical optimum and of a Gaussian: a panel for each row.
pub(crate) fn losses(table: &Table<'_>) -> Drawn {
    let facets = Design::apart(table).facets;
    let rows = facets.iter().map(|facet| (facet.title.clone(), &table.rows[facet.lines[0].rows[0]]));
    let shown: Vec<(String, Vec<LevelRecord>)> =
        rows.filter(|(_, row)| row.numbers().any(known)).map(|(title, row)| (title, averaged(row))).collect();
    let y = Axis::auto(shown.iter().flat_map(|(_, levels)| Curves::of(levels).reach()));
    let mut panels = Vec::new();
    for (title, levels) in &shown {
        let alt = format!("Line chart of the weighted loss at {} noise levels, {title}.", levels.len());
        panels.push((title.clone(), alt, Curves::of(levels).chart(levels, y).draw()?));
    }
    let left_out = table.rows.len().saturating_sub(facets.len());
    let more = if left_out > 0 { format!(" {left_out} more are not shown.") } else { String::new() };
    let caption = format!(
        "The loss at each noise level, times its training weight λ(σ). Memorised: the smoothed training set's own score, the empirical optimum, low on \
         its training rows and high on held-out ones, where it leaves the axis. Gaussian: the best linear (Wiener) score, on held-out rows. Where train and \
         held-out part, the network follows the first; where they agree it has learned the law.{}{more}",
        errors(table, "Bars")
    );
    Ok(assemble(panels, caption))
}

/// The share of the empirical optimum's gap between held-out and training loss that a network has.
pub(crate) fn gaps(table: &Table<'_>) -> Drawn {
    let caption = "(held-out − train) of the network's loss over the same of the empirical optimum's: 0 where it does as well on fresh rows as on those it was \
                   trained on, 1 where it has learned them by heart. Left out where the optimum itself shows no gap.";
    by_sigma::draw(table, Design::in_one(table), shares, "share of the memorised gap", caption)
}

fn shares(numbers: &Numbers) -> Vec<(f64, Estimate)> {
    numbers.losses.iter().filter_map(|level| Some((level.sigma, share(level)?))).collect()
}

fn share(level: &LevelRecord) -> Option<Estimate> {
    let minus = |a: Estimate, b: Estimate| Estimate::new(a.value - b.value, a.standard_error.hypot(b.standard_error));
    let own = minus(level.held_out, level.train);
    let whole = minus(level.memorising_held_out?, level.memorising_train?);
    let clear = whole.value.is_finite() && whole.value > 4.0 * whole.standard_error;
    clear.then(|| Estimate::new(own.value / whole.value, own.standard_error / whole.value))
}

/// The levels' means over a row's repetitions.
fn averaged(row: &Row<'_>) -> Vec<LevelRecord> {
    let all: Vec<&LevelRecord> = row.numbers().flat_map(|n| &n.losses).collect();
    let mut sigmas: Vec<f64> = all.iter().map(|l| l.sigma).collect();
    sigmas.sort_by(|a, b| b.total_cmp(a));
    sigmas.dedup();
    let at = |sigma: f64| {
        let own: Vec<&LevelRecord> = all.iter().copied().filter(|l| l.sigma == sigma).collect();
        let mean = |pick: &dyn Fn(&LevelRecord) -> Option<Estimate>| {
            let values: Vec<Estimate> = own.iter().filter_map(|l| pick(l)).collect();
            repeated(&values).filter(|r| r.not_finite == 0).map(|r| r.mean)
        };
        let nothing = Estimate::new(f64::NAN, f64::NAN);
        LevelRecord {
            train: mean(&|l| Some(l.train)).unwrap_or(nothing),
            held_out: mean(&|l| Some(l.held_out)).unwrap_or(nothing),
            floor: mean(&|l| l.floor),
            memorising_train: mean(&|l| l.memorising_train),
            memorising_held_out: mean(&|l| l.memorising_held_out),
            gaussian_held_out: mean(&|l| l.gaussian_held_out),
            ..own[0].clone()
        }
    };
    sigmas.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        let of = |value| Estimate::new(value, 0.1);
        let level = LevelRecord {
            sigma: 0.1,
            weight: 1.0,
            train: of(2.0),
            held_out: of(3.0),
            floor: None,
            memorising_train: Some(of(1.0)),
            memorising_held_out: Some(of(5.0)),
            gaussian_held_out: None,
            fisher: None,
            relative_fisher: None,
            clean_fisher: None,
        };
        let got = share(&level).unwrap();
        assert_eq!(got.value, 0.25);
        assert!((got.standard_error - 0.02f64.sqrt() / 4.0).abs() < 1e-12);
        // No gap of the optimum, no share of it.
        assert_eq!(share(&LevelRecord { memorising_held_out: Some(of(1.1)), ..level.clone() }), None);
        assert_eq!(share(&LevelRecord { memorising_train: None, ..level }), None);
    }
}
