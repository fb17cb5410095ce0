//! Which rows of a comparison share a line, a colour and a panel.

use crate::palette::{MOST_LINES, Tone, line};
use crate::sweep::{Row, Table, is_data};
use crate::text::visible;

/// Characters of a label that fit beside a line.
const MOST_CHARACTERS: usize = 28;

/// A figure's panels and lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Design {
    pub(crate) facets: Vec<Facet>,
    /// The labels that have no line because there are too many.
    pub(crate) left_out: Vec<String>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facet {
    /// What all its rows share; empty if there is one panel only.
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) tone: Tone,
    pub(crate) dashed: bool,
    /// Rows of the table: one, unless the figure's x is an axis of the sweep.
    pub(crate) rows: Vec<usize>,
}

impl Design {
    /// The axis with the most labels has colours, the others have panels. `along` is the axis that is the figure's x.
    pub(crate) fn of(table: &Table<'_>, along: Option<usize>) -> Self {
        let axes: Vec<usize> = (0..table.compared.len()).filter(|a| Some(*a) != along).collect();
        // Data have panels where anything else can have colours.
        let rank = |&a: &usize| (!is_data(table.compared[a]), labels(table, a).len());
        let most = axes.iter().map(rank).max();
        let coloured = axes.iter().copied().find(|a| Some(rank(a)) == most);
        let (shown, left_out) = coloured.map_or((vec![""], Vec::new()), |axis| shown(table, axis));
        let panels: Vec<usize> = axes.into_iter().filter(|a| Some(*a) != coloured).collect();

        let mut facets: Vec<Facet> = Vec::new();
        for (i, row) in table.rows.iter().enumerate() {
            let label = coloured.map_or("", |axis| row.labels[axis]);
            let Some(colour) = shown.iter().position(|l| *l == label) else { continue };
            let title = title(table, row, &panels);
            let at = facets.iter().position(|f| f.title == title).unwrap_or_else(|| {
                facets.push(Facet { title, lines: Vec::new() });
                facets.len() - 1
            });
            let (tone, dashed) = line(colour);
            let lines = &mut facets[at].lines;
            match lines.iter_mut().find(|l| (l.tone, l.dashed) == (tone, dashed)) {
                Some(line) => line.rows.push(i),
                None => lines.push(Line { label: short(label), tone, dashed, rows: vec![i] }),
            }
        }
        Self { facets, left_out: left_out.into_iter().map(visible).collect() }
    }

    /// One panel with a colour for each combination of the axes other than `along`, if so many can be told apart; data have
    /// panels all the same.
    pub(crate) fn together(table: &Table<'_>, along: Option<usize>) -> Self {
        let (panels, others): (Vec<usize>, Vec<usize>) =
            (0..table.compared.len()).filter(|a| Some(*a) != along).partition(|&a| is_data(table.compared[a]));
        let mut combinations: Vec<Vec<&str>> = Vec::new();
        let mut facets: Vec<Facet> = Vec::new();
        for (i, row) in table.rows.iter().enumerate() {
            let labels: Vec<&str> = others.iter().map(|&a| row.labels[a]).collect();
            let place = combinations.iter().position(|c| *c == labels).unwrap_or_else(|| {
                combinations.push(labels.clone());
                combinations.len() - 1
            });
            let title = title(table, row, &panels);
            let at = facets.iter().position(|f| f.title == title).unwrap_or_else(|| {
                facets.push(Facet { title, lines: Vec::new() });
                facets.len() - 1
            });
            let ((tone, dashed), label) = (line(place), short(&labels.join(" · ")));
            let lines = &mut facets[at].lines;
            match lines.iter_mut().find(|l| (l.tone, l.dashed) == (tone, dashed)) {
                Some(line) => line.rows.push(i),
                None => lines.push(Line { label, tone, dashed, rows: vec![i] }),
            }
        }
        if combinations.len() > MOST_LINES {
            return Self::of(table, along);
        }
        Self { facets, left_out: Vec::new() }
    }

    /// A panel for each of the first rows: for lines that no axis holds together.
    pub(crate) fn apart(table: &Table<'_>) -> Self {
        let shared = Self::of(table, None);
        let facet = |(i, row): (usize, &Row<'_>)| {
            let (tone, dashed) = shared.tone(i)?;
            let all: Vec<usize> = (0..table.compared.len()).collect();
            let line = Line { label: String::new(), tone, dashed, rows: vec![i] };
            Some(Facet { title: title(table, row, &all), lines: vec![line] })
        };
        let facets = table.rows.iter().enumerate().filter_map(facet).take(MOST_LINES).collect();
        Self { facets, left_out: shared.left_out }
    }

    /// One panel with a colour for each of the first rows, whatever sets them apart.
    pub(crate) fn in_one(table: &Table<'_>) -> Self {
        let line_of = |(i, row): (usize, &Row<'_>)| {
            let (tone, dashed) = line(i);
            Line { label: short(&row.labels.join(" · ")), tone, dashed, rows: vec![i] }
        };
        let lines = table.rows.iter().enumerate().take(MOST_LINES).map(line_of).collect();
        let more = table.rows.iter().skip(MOST_LINES).map(|row| visible(&row.labels.join(" · ")));
        Self { facets: vec![Facet { title: String::new(), lines }], left_out: more.collect() }
    }

    /// All lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.facets.iter().flat_map(|f| &f.lines)
    }

    /// A row's colour; `None` if it has no line.
    pub(crate) fn tone(&self, row: usize) -> Option<(Tone, bool)> {
        self.lines().find(|l| l.rows.contains(&row)).map(|l| (l.tone, l.dashed))
    }

    /// A sentence about what has no line; may be empty.
    pub(crate) fn omission(&self, table: &Table<'_>) -> String {
        if self.left_out.is_empty() {
            return String::new();
        }
        format!(
            " Left out, as the worst by {} of more than can be told apart: {}.",
            visible(table.primary.label()),
            self.left_out.join(", ")
        )
    }
}

/// The distinct labels of an axis, in the order of rows.
fn labels<'a>(table: &Table<'a>, axis: usize) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for row in &table.rows {
        if !out.contains(&row.labels[axis]) {
            out.push(row.labels[axis]);
        }
    }
    out
}

/// The labels of the coloured axis that have lines, in their order, and the others: those whose best row is worst.
fn shown<'a>(table: &Table<'a>, axis: usize) -> (Vec<&'a str>, Vec<&'a str>) {
    let all = labels(table, axis);
    let badness = |label: &str| {
        let rows = (0..table.rows.len()).filter(|&i| table.rows[i].labels[axis] == label);
        rows.map(|i| table.badness(i)).fold(f64::INFINITY, f64::min)
    };
    let mut ranked = all.clone();
    ranked.sort_by(|a, b| badness(a).total_cmp(&badness(b)));
    ranked.truncate(MOST_LINES);
    all.into_iter().partition(|label| ranked.contains(label))
}

fn title(table: &Table<'_>, row: &Row<'_>, panels: &[usize]) -> String {
    let told = panels.iter().map(|&a| format!("{}: {}", visible(&table.compared[a].name), visible(row.labels[a])));
    told.collect::<Vec<_>>().join(", ")
}

/// A label that fits beside a line.
pub(crate) fn short(label: &str) -> String {
    let label = visible(label);
    if label.chars().count() <= MOST_CHARACTERS {
        return label;
    }
    label.chars().take(MOST_CHARACTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;

    #[test]
    fn the_longest_axis_has_colours_and_the_other_has_panels() {
        let axes = [("noise", AxisRole::Compare, "none some"), ("objective", AxisRole::Compare, "a b c")];
        let cells = ["none a", "none b", "none c", "some a", "some b", "some c"].map(|c| (c, 1.0));
        let sweep = sweep(&axes, &cells);
        let table = Table::of(&sweep);
        let design = Design::of(&table, None);
        assert_eq!(design.facets.iter().map(|f| f.title.as_str()).collect::<Vec<_>>(), ["noise: none", "noise: some"]);
        let labels = |f: &Facet| f.lines.iter().map(|l| l.label.clone()).collect::<Vec<_>>();
        assert!(design.facets.iter().all(|f| labels(f) == ["a", "b", "c"]));
        assert_eq!(design.tone(1), design.tone(4));
        assert_ne!(design.tone(0), design.tone(1));

        // Along one of them, the other has the colours.
        let along = Design::of(&table, Some(1));
        assert_eq!(along.facets.len(), 1);
        assert_eq!(along.lines().map(|l| l.rows.clone()).collect::<Vec<_>>(), [[0, 1, 2], [3, 4, 5]]);
    }

    #[test]
    fn combinations_share_a_panel_while_they_can_be_told_apart() {
        let axes = [
            ("sampler", AxisRole::Compare, "a b"),
            ("churn", AxisRole::Compare, "0 1"),
            ("levels", AxisRole::Compare, "5 9"),
        ];
        let cells = ["a 0 5", "a 0 9", "a 1 5", "a 1 9", "b 0 5", "b 0 9"].map(|c| (c, 1.0));
        let sweep = sweep(&axes, &cells);
        let table = Table::of(&sweep);
        let design = Design::together(&table, Some(2));
        assert_eq!(design.facets.len(), 1);
        assert_eq!(design.lines().map(|l| l.label.as_str()).collect::<Vec<_>>(), ["a · 0", "a · 1", "b · 0"]);
        assert_eq!(design.lines().map(|l| l.rows.clone()).collect::<Vec<_>>(), [[0, 1], [2, 3], [4, 5]]);
        assert_eq!(Design::of(&table, Some(2)).facets.len(), 2);
    }

    #[test]
    fn the_worst_of_too_many_are_left_out() {
        let labels: Vec<String> = (0..15).map(|i| format!("l{i}")).collect();
        let cells: Vec<(&str, f64)> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), 15.0 - i as f64)).collect();
        let values = labels.join(" ");
        let sweep = sweep(&[("objective", AxisRole::Compare, &values)], &cells);
        let table = Table::of(&sweep);
        let design = Design::of(&table, None);
        assert_eq!(design.left_out, ["l0", "l1", "l2"]);
        assert_eq!(design.lines().count(), MOST_LINES);
        assert!(design.omission(&table).contains("l0, l1, l2") && design.tone(0).is_none());
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(short("sliced"), "sliced");
        assert_eq!(short(&"x".repeat(40)).chars().count(), MOST_CHARACTERS);
    }
}
