//! What is said under the comparison's table: how to read it, and what to be wary of.

use crate::statistics::Mark;
use crate::sweep::{CLEAN, Numbers, Table};
use crate::text::{count, visible};

/// Devices that are named.
const MOST_DEVICES: usize = 8;

/// A paragraph each.
pub(super) fn of(table: &Table<'_>) -> Vec<String> {
    let notes = [
        Some(errors(table)),
        Some(marks(table)),
        chosen(table),
        primary(table),
        untrained(table),
        shared(table),
        alike(table),
        during(table),
        gradient(table),
    ];
    notes.into_iter().chain([not_finite(table)]).chain(times(table)).flatten().collect()
}

fn errors(table: &Table<'_>) -> String {
    let mut note = String::from(
        "Values are means over repetitions ± one standard error. Dots place a value on its column's axis, the smallest left.",
    );
    if table.rows.iter().any(|r| r.count().0 == 1) {
        note.push_str(
            " With a single repetition the error is the run's own standard error, which says nothing about other seeds.",
        );
    }
    if table.rows.iter().any(|r| r.count().0 < r.count().1) {
        note.push_str(" Rows with missing repetitions are means of those that finished, and may be flattered by it.");
    }
    note
}

fn marks(table: &Table<'_>) -> String {
    let within = if table.is_over_data() { " Only rows on the same data are compared." } else { "" };
    let test = "a paired t test of the best with each other row over shared repetitions (at least 3), of ratios where all values are positive, at 5% with Holm's correction";
    if table.columns.iter().flat_map(|c| &c.marks).all(|m| *m == Mark::Plain) {
        return format!(
            "No value is marked as the best of its column, because none can be told from the others by {test}.{within}"
        );
    }
    format!(
        "★ is the best of its column: better than the others by {test}. Where some cannot be told from the best, it and they have a ≈; rows with fewer than 3 shared repetitions are not tested. Columns without marks tell nobody apart.{within}"
    )
}

fn chosen(table: &Table<'_>) -> Option<String> {
    (!table.best.is_empty()).then(|| {
        format!(
            "Of an axis of which only the best is shown, each row has the value whose mean over repetitions of “{}” is best; a value that diverged in more repetitions is passed over. Since that very number chose it, it is slightly optimistic; other columns have the same value, not the one that would be their own best.",
            visible(table.primary.label())
        )
    })
}

fn primary(table: &Table<'_>) -> Option<String> {
    table.primary_column().filter(|_| table.primary.is_levels())?;
    let mut note = format!(
        "“{}”: σ² times ½E‖s − ∇log p‖² to the known density, mean over the noise levels; without noise the divergence itself.",
        table.primary.label()
    );
    if table.is_mixed() {
        note.push_str(
            " Rows whose noise levels span different ranges measure different things by it, and are marked apart.",
        );
        if table.column(CLEAN).is_some() {
            note.push_str(" “F to the clean density” is the Fisher divergence to the same density for all.");
        }
    }
    Some(note)
}

fn during(table: &Table<'_>) -> Option<String> {
    let told = numbers(table).any(|n| !n.fisher.is_empty());
    told.then(|| "“σ²F at step” and “after”: σ² times the Fisher divergence, mean over held-out rows at drawn noise levels, at the last step that all rows reach and at the time at which the fastest run is done; linear in between, and – where a row was not measured before that time.".into())
}

fn untrained(table: &Table<'_>) -> Option<String> {
    (!table.trained).then(|| {
        "Nothing was trained: all scores are the targets' own, so what rows differ by is the sampler's.".into()
    })
}

/// That rows share networks.
fn shared(table: &Table<'_>) -> Option<String> {
    let mut trainings: Vec<&str> = numbers(table).filter_map(|n| n.trained.as_deref()).collect();
    let cells = trainings.len();
    trainings.sort_unstable();
    trainings.dedup();
    (trainings.len() < cells).then(|| {
        format!(
            "{cells} cells share {}: rows that differ in nothing that training reads have the same ones, repetition by repetition, and differ by what was done with them. Times of training are of the shared one.",
            count(trainings.len(), "trained network")
        )
    })
}

/// That repetitions do.
fn alike(table: &Table<'_>) -> Option<String> {
    table.rows.iter().any(|row| !row.of_one_training().is_empty()).then(|| {
        "Some repetitions do not train again: those of one trained network are averaged and count as a single one, differences of rows repetition by repetition.".into()
    })
}

fn gradient(table: &Table<'_>) -> Option<String> {
    let told = numbers(table).any(|n| n.gradient.is_some());
    told.then(|| "Gradient noise: the variance of one example's gradient at the trained network, geometric mean over the levels, relative to the least of the rows with the same noise levels.".into())
}

fn not_finite(table: &Table<'_>) -> Option<String> {
    let any = table.columns.iter().flat_map(|c| c.cells.iter().flatten()).any(|c| c.not_finite > 0);
    any.then(|| "Repetitions that are not finite are counted, not averaged; a row that has one is never marked.".into())
}

/// What makes times no comparison.
fn times(table: &Table<'_>) -> [Option<String>; 2] {
    let software = numbers(table).any(|n| n.software);
    let mut devices: Vec<&str> = numbers(table).map(|n| n.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    let named: Vec<String> = devices.iter().take(MOST_DEVICES).map(|d| visible(d)).collect();
    [
        software.then(|| "Some cells ran on a software adapter, whose times say nothing about hardware.".into()),
        (devices.len() > 1).then(|| {
            format!("Cells ran on different devices, so their times are no comparison: {}.", named.join("; "))
        }),
    ]
}

fn numbers<'a>(table: &Table<'a>) -> impl Iterator<Item = &'a Numbers> {
    table.rows.iter().flat_map(|r| r.numbers()).collect::<Vec<_>>().into_iter()
}
