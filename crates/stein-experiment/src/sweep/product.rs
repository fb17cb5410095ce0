//! Which combinations of the axes' values are cells.

use stein_record::source::{Diagnostic, Span, list_of, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::axis::{Axis, lists};
use super::{DEFAULT_MOST_CELLS, MOST_CELLS, MOST_MEASURES};
use crate::section::{article, read};

/// Combinations that are looked through at most, before `exclude` leaves some out.
const MOST_COMBINATIONS: usize = 100_000;
/// Entries of `exclude` at most.
const MOST_EXCLUDED: usize = 1000;

/// The keys of `[sweep]` that are no axes.
pub(super) struct Reserved<'s> {
    zip: Option<Spanned<DeValue<'s>>>,
    exclude: Option<Spanned<DeValue<'s>>>,
    best_of: Option<Spanned<DeValue<'s>>>,
    measure: Option<Spanned<DeValue<'s>>>,
    max_cells: usize,
    max_cells_span: Option<Span>,
}

impl<'s> Reserved<'s> {
    /// Takes them out of the table.
    pub(super) fn take(table: &mut DeTable<'s>) -> Result<Self, Vec<Diagnostic>> {
        if let Some((key, _)) = table.get_key_value("name") {
            let what = "`name` cannot be varied: it names the folder that all cells lie in";
            let help = "an entry's `name` is its label: objective = [{ kind = \"sliced\", name = \"SSM\" }]";
            return Err(vec![Diagnostic::new(what).at(Some(key.span()), "").help(help)]);
        }
        let (zip, exclude, best_of) = (table.remove("zip"), table.remove("exclude"), table.remove("best-of"));
        let (measure, max_cells) = (table.remove("measure"), table.remove("max-cells"));
        let max_cells_span = max_cells.as_ref().map(Spanned::span);
        let max_cells = match max_cells.map(|value| read::<u64>("sweep", "max-cells", value)).transpose() {
            Ok(None) => DEFAULT_MOST_CELLS,
            Ok(Some(n @ 1..)) if n <= MOST_CELLS as u64 => n as usize,
            Ok(Some(n)) => {
                let what = format!("`max-cells` is {n}; it must be from 1 to {MOST_CELLS}");
                return Err(vec![Diagnostic::new(what).at(max_cells_span, "")]);
            }
            Err(diagnostic) => return Err(vec![diagnostic]),
        };
        Ok(Self { zip, exclude, best_of, measure, max_cells, max_cells_span })
    }
}

/// The cells, each as the value that it has of every axis.
pub(super) fn cells(
    axes: &[Axis<'_>],
    reserved: &Reserved<'_>,
    span: &Span,
) -> Result<Vec<Vec<usize>>, Vec<Diagnostic>> {
    let one = |diagnostic: Diagnostic| vec![diagnostic];
    let steps = steps(axes, reserved).map_err(one)?;
    let excluded = excluded(axes, reserved)?;
    let lengths = || steps.iter().map(|together| axes[together[0]].values().len());
    let too_many = |count: &str| {
        let shape: Vec<String> = lengths().map(|n| n.to_string()).collect();
        let most = reserved.max_cells;
        Diagnostic::new(format!("[sweep] makes {count} cells; at most {most} are allowed"))
            .at(reserved.max_cells_span.clone().or(Some(span.clone())), "")
            .help(format!("its axes have {} values", shape.join(" × ")))
            .help(format!("`exclude` leaves combinations out; `max-cells` may be raised to {MOST_CELLS}"))
    };
    // Counted before any is made.
    let combinations = match lengths().try_fold(1usize, usize::checked_mul) {
        Some(n @ 0..=MOST_COMBINATIONS) => n,
        Some(n) => return Err(vec![too_many(&n.to_string())]),
        None => return Err(vec![too_many("countless")]),
    };
    let left = || {
        let is_left_out =
            |values: &[usize]| excluded.iter().any(|those| those.iter().all(|&(axis, v)| values[axis] == v));
        (0..combinations).map(|index| values_of(index, axes, &steps)).filter(move |values| !is_left_out(values))
    };
    match left().count() {
        0 => {
            let place = reserved.exclude.as_ref().map(Spanned::span);
            Err(vec![Diagnostic::new("`exclude` in [sweep] leaves no cell").at(place, "")])
        }
        n if n > reserved.max_cells => Err(vec![too_many(&n.to_string())]),
        _ => Ok(left().collect()),
    }
}

/// The last step changes fastest.
fn values_of(index: usize, axes: &[Axis<'_>], steps: &[Vec<usize>]) -> Vec<usize> {
    let mut values = vec![0; axes.len()];
    let mut rest = index;
    for together in steps.iter().rev() {
        let length = axes[together[0]].values().len();
        together.iter().for_each(|&axis| values[axis] = rest % length);
        rest /= length;
    }
    values
}

/// The axes that step together, in the order of the file; most step alone.
fn steps(axes: &[Axis<'_>], reserved: &Reserved<'_>) -> Result<Vec<Vec<usize>>, Diagnostic> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for group in list("zip", "a list of lists of axes", reserved.zip.as_ref())? {
        let Some(names) = group.get_ref().as_array() else {
            return Err(Diagnostic::new("each entry of `zip` in [sweep] must be a list of axes")
                .at(Some(group.span()), "")
                .help("write zip = [[\"seed\", \"schedule.levels\"]]"));
        };
        let mut together: Vec<usize> = Vec::new();
        for name in names.iter() {
            let axis = axis_of(axes, name)?;
            if together.contains(&axis) || groups.iter().any(|group| group.contains(&axis)) {
                let what = format!("`zip` in [sweep] names the axis `{}` twice", axes[axis].name());
                return Err(Diagnostic::new(what).at(Some(name.span()), ""));
            }
            let length = |axis: usize| axes[axis].values().len();
            if let Some(&first) = together.first()
                && length(first) != length(axis)
            {
                let (one, other) = (&axes[first], &axes[axis]);
                let what = format!(
                    "axes that step together must have equally many values: `{}` has {}, `{}` has {}",
                    one.name(),
                    length(first),
                    other.name(),
                    length(axis)
                );
                let related = |axis: &Axis<'_>| format!("{} values", axis.values().len());
                return Err(Diagnostic::new(what)
                    .at(Some(name.span()), "")
                    .related(Some(one.key()), related(one))
                    .related(Some(other.key()), related(other)));
            }
            together.push(axis);
        }
        if together.len() < 2 {
            let what = "each entry of `zip` in [sweep] must name at least two axes";
            return Err(Diagnostic::new(what).at(Some(group.span()), ""));
        }
        groups.push(together);
    }
    let group_of = |axis: usize| groups.iter().find(|group| group.contains(&axis)).cloned().unwrap_or(vec![axis]);
    // A group takes the place of its first axis.
    Ok((0..axes.len()).filter(|axis| group_of(*axis).iter().min() == Some(axis)).map(group_of).collect())
}

/// For each entry of `exclude`, the values that together are left out.
fn excluded(axes: &[Axis<'_>], reserved: &Reserved<'_>) -> Result<Vec<Vec<(usize, usize)>>, Vec<Diagnostic>> {
    let entries = list("exclude", "a list of tables", reserved.exclude.as_ref()).map_err(|d| vec![d])?;
    if entries.len() > MOST_EXCLUDED {
        let what = format!("`exclude` in [sweep] has {} entries; at most {MOST_EXCLUDED} are allowed", entries.len());
        return Err(vec![Diagnostic::new(what).at(reserved.exclude.as_ref().map(Spanned::span), "")]);
    }
    let mut problems = Vec::new();
    let all = entries.iter().filter_map(|entry| combination(axes, entry).map_err(|d| problems.push(d)).ok()).collect();
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn combination(axes: &[Axis<'_>], entry: &Spanned<DeValue<'_>>) -> Result<Vec<(usize, usize)>, Diagnostic> {
    let help = "write exclude = [{ objective = \"denoising\", seed = 1 }]";
    let wrong = |what: &str| Diagnostic::new(what).at(Some(entry.span()), "").help(help);
    let Some(table) = entry.get_ref().as_table() else {
        return Err(wrong("each entry of `exclude` in [sweep] must be a table"));
    };
    let pairs = lists(table.clone())?;
    if pairs.is_empty() {
        return Err(wrong("an entry of `exclude` in [sweep] names no axis"));
    }
    pairs
        .into_iter()
        .map(|(name, key, value)| {
            let axis = axes.iter().position(|axis| axis.name() == name).ok_or_else(|| no_axis(axes, &name, key))?;
            let position = axes[axis].values().iter().position(|known| known.is(value.get_ref()));
            let missing = || {
                let labels: Vec<&str> = axes[axis].labels().collect();
                let near = value.get_ref().as_str().and_then(|text| nearest(text, labels.iter().copied()));
                Diagnostic::new(format!("the axis `{name}` has no such value"))
                    .at(Some(value.span()), near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default())
                    .help(format!("its values are {}", some_of(&labels)))
            };
            Ok((axis, position.ok_or_else(missing)?))
        })
        .collect()
}

/// The axes of which a comparison shows the best value only.
pub(super) fn best_of(axes: &[Axis<'_>], reserved: &Reserved<'_>) -> Result<Vec<usize>, Diagnostic> {
    let named = list("best-of", "a list of axes", reserved.best_of.as_ref())?;
    let mut out = Vec::new();
    for name in named {
        let axis = axis_of(axes, name)?;
        if axes[axis].is_seed() {
            let what = "`best-of` in [sweep] names `seed`, but the best of several seeds says nothing";
            return Err(Diagnostic::new(what).at(Some(name.span()), "").help("seeds are averaged over"));
        }
        out.push(axis);
    }
    Ok(out)
}

/// The metrics that cells are compared by. Which there are is known only when cells have been evaluated.
pub(super) fn measures(reserved: &Reserved<'_>) -> Result<Vec<String>, Diagnostic> {
    let Some(value) = &reserved.measure else { return Ok(Vec::new()) };
    let help = "write measure = \"mode-weight-error\": a metric's name, as evaluation.json has it, or a list of them";
    let wrong = |what: String, span: Span| Err(Diagnostic::new(what).at(Some(span), "").help(help));
    let items = match value.get_ref() {
        DeValue::Array(items) if (1..=MOST_MEASURES).contains(&items.len()) => &items[..],
        DeValue::Array(items) => {
            let what = format!("`measure` in [sweep] names {} metrics; 1 to {MOST_MEASURES} are allowed", items.len());
            return wrong(what, value.span());
        }
        _ => std::slice::from_ref(value),
    };
    let mut out: Vec<String> = Vec::new();
    for item in items {
        let Some(name) = item.get_ref().as_str() else {
            let found = article(item.get_ref().type_str());
            return wrong(format!("`measure` in [sweep] must be a metric's name, found {found}"), item.span());
        };
        if name.is_empty() || out.iter().any(|known| known == name) {
            let problem = if name.is_empty() { "has an empty name".into() } else { format!("names `{name}` twice") };
            return wrong(format!("`measure` in [sweep] {problem}"), item.span());
        }
        out.push(name.to_owned());
    }
    Ok(out)
}

fn list<'a, 's>(
    key: &str,
    wanted: &str,
    value: Option<&'a Spanned<DeValue<'s>>>,
) -> Result<&'a [Spanned<DeValue<'s>>], Diagnostic> {
    let Some(value) = value else { return Ok(&[]) };
    value.get_ref().as_array().map(|items| &items[..]).ok_or_else(|| {
        let found = article(value.get_ref().type_str());
        Diagnostic::new(format!("`{key}` in [sweep] must be {wanted}, found {found}")).at(Some(value.span()), "")
    })
}

fn axis_of(axes: &[Axis<'_>], name: &Spanned<DeValue<'_>>) -> Result<usize, Diagnostic> {
    let Some(text) = name.get_ref().as_str() else {
        let found = article(name.get_ref().type_str());
        let what = format!("an axis is named by a string, found {found}");
        return Err(Diagnostic::new(what).at(Some(name.span()), ""));
    };
    axes.iter().position(|axis| axis.name() == text).ok_or_else(|| no_axis(axes, text, name.span()))
}

fn no_axis(axes: &[Axis<'_>], name: &str, span: Span) -> Diagnostic {
    let names = || axes.iter().map(Axis::name);
    let near = nearest(name, names()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
    Diagnostic::new(format!("[sweep] has no axis `{name}`"))
        .at(Some(span), near)
        .help(format!("its axes are {}", list_of(names())))
}

/// The first of many labels.
fn some_of(labels: &[&str]) -> String {
    const SHOWN: usize = 20;
    match labels.len() {
        0..=SHOWN => list_of(labels.iter().copied()),
        n => format!("{} and {} more", list_of(labels[..SHOWN].iter().copied()), n - SHOWN),
    }
}
